// Products of bf16 and FP8 operands in every variant against the definition, by memcmp.
#include "kernels/mixed_gemm/mixed_gemm.hpp"

#include "plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr std::int64_t kExtents[] = {1,  2,  5,  7,  8,  11,  12,  13,  16,  17, 24,
                                     31, 32, 33, 48, 65, 100, 127, 128, 129, 200};
constexpr std::int64_t kDepths[] = {0, 1, 3, 8, 17, 64, 127, 128, 129, 200, 256, 300, 520, 700};

template <std::size_t size>
std::int64_t one_of(const std::int64_t (&values)[size], std::mt19937& random) {
  return values[random() % size];
}

/// Sequences, empty and short ones among them, that end at k.
std::vector<std::int64_t> cut_in_sequences(std::int64_t k, std::mt19937& random) {
  std::vector<std::int64_t> lengths;
  while (k > 0) {
    lengths.push_back(std::min<std::int64_t>(k, static_cast<std::int64_t>(random() % 200)));
    k -= lengths.back();
  }
  return lengths;
}

MixedShape sample(GemmForm form, NumberType type, std::mt19937& random) {
  MixedShape s;
  s.form = form;
  s.a = s.b = type;
  s.m = one_of(kExtents, random);
  s.n = one_of(kExtents, random);
  s.k = one_of(kDepths, random);
  s.gap = static_cast<std::int64_t>(random() % 3);
  s.powers = random() % 2 == 0;
  s.rounded = form != GemmForm::tn && random() % 2 == 0;
  s.rounds = form != GemmForm::tn && !s.rounded && random() % 2 == 0;
  s.shared = random() % 4 == 0 ? 1 : 128;
  if (form == GemmForm::tn && type != NumberType::bf16) s.lengths = cut_in_sequences(s.k, random);
  return s;
}

}  // namespace

TEST_CASE("every variant equals the definition over odd shapes", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(1);
    for (const GemmForm form : kForms) {
      for (const NumberType type : kNumberTypes) {
        for (int i = 0; i < 25; ++i) {
          std::vector<MixedProblem> one;
          one.emplace_back(sample(form, type, random), random);
          check_products(one);
        }
      }
    }
  });
}

TEST_CASE("operands of two types", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(2);
    for (const GemmForm form : kForms) {
      for (const NumberType left : {NumberType::e4m3, NumberType::e5m2, NumberType::e5m6}) {
        for (const NumberType right : {NumberType::e4m3, NumberType::e5m2, NumberType::e5m6}) {
          MixedShape s = sample(form, left, random);
          s.b = right;
          std::vector<MixedProblem> one;
          one.emplace_back(s, random);
          check_products(one);
        }
      }
    }
  });
}

TEST_CASE("many products in one launch, empty ones among them", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(3);
    for (const GemmForm form : kForms) {
      for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
        std::vector<MixedProblem> experts;
        for (int i = 0; i < 30; ++i) {
          MixedShape s = sample(form, type, random);
          const std::int64_t rows = i % 7 == 3 ? 0 : static_cast<std::int64_t>(random() % 150);
          (form == GemmForm::tn ? s.k : s.m) = rows;
          if (!s.lengths.empty() || form == GemmForm::tn) s.lengths.clear();
          if (form == GemmForm::tn && type != NumberType::bf16) {
            s.lengths = cut_in_sequences(rows, random);
          }
          experts.emplace_back(s, random);
        }
        check_products(experts);
        std::vector<MixedProblem> none;
        check_products(none);
      }
    }
  });
}

TEST_CASE("products beyond what a kernel packs at a time", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(4);
    for (const GemmForm form : kForms) {
      for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
        std::vector<MixedProblem> problems;
        const auto add = [&](std::int64_t m, std::int64_t n, std::int64_t k, bool rounded,
                             bool rounds = false) {
          MixedShape s;
          s.form = form;
          s.a = s.b = type;
          s.m = m;
          s.n = n;
          s.k = k;
          s.rounded = rounded && form != GemmForm::tn;
          s.rounds = rounds && form != GemmForm::tn;
          if (form == GemmForm::tn && type != NumberType::bf16) s.lengths = {k / 3, k - k / 3};
          problems.emplace_back(s, random);
        };
        add(500, 45, 270, true);  // more rows than a tile of c
        add(500, 45, 1100, false, true);
        add(13, 1601, 140, false);  // more columns than a piece
        add(3, 700, 2100, true);    // deeper than the workspace for a piece of columns
        add(2, 530, 2200, false);
        add(2, 40, 17000, true);  // and than half of it for few columns
        check_products(problems);
      }
    }
  });
}

TEST_CASE("rows beyond those whose sums are kept at a time", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(5);
    for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
      std::vector<MixedProblem> one;
      MixedShape s;
      s.form = GemmForm::nn;
      s.a = s.b = type;
      s.m = 1100;
      s.n = 17;
      s.k = 600;
      s.rounded = true;
      one.emplace_back(s, random);
      check_products(one);
    }
  });
}
