// The vendor variant of mixed_gemm(): sums in an order of its own, so by tolerance; and what it leaves to
// the exact ones, by memcmp.
#include <algorithm>
#include <limits>

#include "core/bf16.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

bool has_vendor() {
  const auto have = available_variants(Op::mixed_gemm);
  if (std::count(have.begin(), have.end(), Variant::onednn) == 1) return true;
  WARN("SKIPPED: this build or processor has no vendor variant of mixed_gemm");
  return false;
}

/// Bits that differ from those of the exact variants: the vendor must have some, else it has not run.
std::int64_t other_bits = 0;

void run(std::vector<MixedProblem>& problems, Variant variant) {
  force_variant(Op::mixed_gemm, variant);
  std::vector<MixedGemmTask> tasks;
  for (MixedProblem& p : problems) tasks.push_back(p.task());
  mixed_gemm(ExecSpace(), problems[0].shape.form, tasks);
  for (MixedProblem& p : problems) p.shape.rounded ? p.rounded.fetch() : p.c.fetch();
  reset_variants();
}

/// Element (i, j) in float64 and the sum of the magnitudes of what is added.
struct Sum {
  double value = 0;
  double magnitude = 0;
};
Sum plain_sum(MixedProblem& p, const Tensor<float>& start, std::int64_t i, std::int64_t j) {
  const bool tn = p.shape.form == GemmForm::tn, nt = p.shape.form == GemmForm::nt;
  const MixedOperand a = p.a.host(), b = p.b.host();
  Sum sum;
  if (tn) sum.value = Tensor<float>(start)(i, j);
  sum.magnitude = std::abs(sum.value);
  const std::vector<RowBlock> blocks = sum_of(p.shape);
  for (std::size_t q = 0; q < blocks.size(); ++q) {
    const double scale =
        a.scales == nullptr ? 1 : double(p.scale(i, j, static_cast<std::int64_t>(q)));
    for (std::int64_t l = blocks[q].begin; l < blocks[q].begin + blocks[q].count; ++l) {
      const double product = scale * double(tn ? plain_number(a, l, i) : plain_number(a, i, l)) *
                             double(nt ? plain_number(b, j, l) : plain_number(b, l, j));
      sum.value += product;
      sum.magnitude += std::abs(product);
    }
  }
  return sum;
}

/// Every element within the roundings of a float32 sum in any order, and of the result to bf16.
void check_close(MixedProblem& p, Tensor<float> start) {
  const double terms = static_cast<double>(p.shape.k) + 2;
  double worst = 0;
  bool gaps = true;
  for (std::int64_t i = 0; i < p.shape.m; ++i) {
    for (std::int64_t j = 0; j < p.shape.n; ++j) {
      const Sum sum = plain_sum(p, start, i, j);
      const double allowed = terms * 0x1p-24 * sum.magnitude +
                             (p.shape.rounded || p.shape.rounds ? 0x1p-8 * std::abs(sum.value) : 0);
      const double error = std::abs(double(p.result(i, j)) - sum.value);
      worst = std::max(worst, allowed > 0 ? error / allowed : error == 0 ? 0 : 2);
    }
    for (std::int64_t j = p.shape.n; i + 1 < p.shape.m && j < p.shape.n + p.shape.gap; ++j) {
      gaps = gaps && (p.shape.rounded ? p.rounded(i, j) == 0x1234 : p.c(i, j) == start(i, j));
    }
  }
  INFO(describe(p.shape) << " powers " << p.shape.powers);
  CHECK(worst <= 1);
  CHECK(gaps);
  if (!p.matches()) ++other_bits;
}

void check_vendor(std::vector<MixedProblem>& problems) {
  std::vector<Tensor<float>> starts;
  for (const MixedProblem& p : problems) starts.push_back(p.c);
  run(problems, Variant::onednn);
  for (std::size_t g = 0; g < problems.size(); ++g) check_close(problems[g], starts[g]);
}

MixedShape shape_of(GemmForm form, NumberType type, std::int64_t m, std::int64_t n,
                    std::int64_t k) {
  MixedShape s;
  s.form = form;
  s.a = s.b = type;
  s.m = m;
  s.n = n;
  s.k = k;
  s.powers = true;
  if (form == GemmForm::tn && type != NumberType::bf16) s.lengths = {k / 3, k - k / 3};
  return s;
}

}  // namespace

TEST_CASE("the vendor variant agrees with float64", "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  other_bits = 0;
  std::mt19937 random(1);
  for (const GemmForm form : kForms) {
    for (const NumberType type : kNumberTypes) {
      // Rows below, at and beyond those of one call; columns and depths off every tile.
      for (const auto& [m, n, k] : std::vector<std::array<std::int64_t, 3>>{{1, 1, 1},
                                                                            {5, 1, 130},
                                                                            {64, 64, 64},
                                                                            {63, 100, 129},
                                                                            {65, 17, 300},
                                                                            {130, 45, 200},
                                                                            {7, 65, 520},
                                                                            {3, 4, 0}}) {
        std::vector<MixedProblem> one;
        MixedShape s = shape_of(form, type, m, n, k);
        s.gap = static_cast<std::int64_t>(random() % 3);
        s.rounded = form != GemmForm::tn && random() % 2 == 0;
        s.rounds = form != GemmForm::tn && !s.rounded;
        s.shared = random() % 4 == 0 ? 1 : 128;
        one.emplace_back(s, random);
        check_vendor(one);
      }
    }
  }
  CHECK(other_bits > 0);
}

TEST_CASE("the vendor variant with operands of two types and scales of other widths",
          "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  std::mt19937 random(2);
  for (const GemmForm form : kForms) {
    for (const NumberType left : {NumberType::e4m3, NumberType::e5m2, NumberType::e5m6}) {
      std::vector<MixedProblem> one;
      MixedShape s = shape_of(form, left, 70, 300, 260);
      s.b = left == NumberType::e4m3 ? NumberType::e5m6 : NumberType::e4m3;
      s.shared = left == NumberType::e5m2 ? 20 : 128;  // 20: a vector of columns has two scales
      one.emplace_back(s, random);
      check_vendor(one);
    }
  }
}

TEST_CASE("experts of any number of rows by the vendor variant", "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  std::mt19937 random(3);
  for (const GemmForm form : kForms) {
    for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
      std::vector<MixedProblem> experts;
      for (const std::int64_t rows : {0, 200, 1, 64, 0, 15, 129}) {
        const bool tn = form == GemmForm::tn;
        experts.emplace_back(shape_of(form, type, tn ? 80 : rows, 96, tn ? rows : 136), random);
      }
      check_vendor(experts);
    }
  }
}

TEST_CASE("large products of the vendor variant beside the exact one", "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  std::mt19937 random(4);
  for (const GemmForm form : kForms) {
    for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
      // Rows of several calls; columns in pieces; for a weight gradient pieces of every depth.
      const bool tn = form == GemmForm::tn;
      // b^T with rows so long that one call's rows of a are widened at a time.
      const MixedShape s = tn                     ? shape_of(form, type, 600, 1100, 4090)
                           : form == GemmForm::nt ? shape_of(form, type, 130, 300, 9000)
                                                  : shape_of(form, type, 340, 3000, 600);
      std::vector<MixedProblem> exact, vendor;
      exact.emplace_back(s, random);
      vendor = exact;
      run(exact, available_variants(Op::mixed_gemm).front());
      run(vendor, Variant::onednn);
      double xy = 0, xx = 0, yy = 0, worst = 0, largest = 0;
      for (std::int64_t i = 0; i < s.m; ++i) {
        for (std::int64_t j = 0; j < s.n; ++j) {
          const double x = exact[0].c(i, j), y = vendor[0].c(i, j);
          xy += x * y;
          xx += x * x;
          yy += y * y;
          worst = std::max(worst, std::abs(x - y));
          largest = std::max(largest, std::abs(x));
        }
      }
      INFO(describe(s));
      CHECK(1 - 2 * xy / (xx + yy) < 1e-10);
      CHECK(worst < 1e-4 * largest);
    }
  }
}

TEST_CASE("a scale that is NaN is seen by the vendor variant", "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  std::mt19937 random(5);
  std::vector<MixedProblem> one;
  one.emplace_back(shape_of(GemmForm::nt, NumberType::e4m3, 66, 40, 300), random);
  one[0].a.scales(3, 1) = std::numeric_limits<float>::quiet_NaN();
  run(one, Variant::onednn);
  for (std::int64_t j = 0; j < 40; ++j) {
    CHECK(std::isnan(one[0].c(3, j)));
    CHECK(!std::isnan(one[0].c(2, j)));
    CHECK(!std::isnan(one[0].c(65, j)));
  }
}

TEST_CASE("the vendor variant leaves other scales and sums to the exact one",
          "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  std::mt19937 random(6);
  for (const GemmForm form : kForms) {
    MixedShape s = shape_of(form, NumberType::e4m3, 70, 50, 300);
    s.powers = false;
    std::vector<MixedProblem> problems;
    problems.emplace_back(s, random);
    run(problems, Variant::onednn);
    CHECK(problems[0].matches());
  }
  // Too deep for the workspace of the process, and the model of a limited accumulator.
  std::vector<MixedProblem> deep;
  deep.emplace_back(shape_of(GemmForm::nt, NumberType::e4m3, 2, 40, 200000), random);
  run(deep, Variant::onednn);
  CHECK(deep[0].matches());

  const auto limited = [&](Variant variant) {
    std::mt19937 same(7);
    MixedProblem p(shape_of(GemmForm::nt, NumberType::e4m3, 30, 40, 300), same);
    force_variant(Op::mixed_gemm, variant);
    const MixedGemmTask task = p.task();
    mixed_gemm(ExecSpace(), GemmForm::nt, {&task, 1}, Accumulation::limited_promoted);
    reset_variants();
    p.c.fetch();
    return p;
  };
  CHECK(limited(Variant::onednn).c.same_bits(limited(Variant::portable).c));
}

TEST_CASE("the vendor variant of mixed_gemm runs only when asked for", "[mixed_gemm][vendor]") {
  if (!has_vendor()) return;
  CHECK(is_exact(selected_variant(Op::mixed_gemm)));
  CHECK(available_variants(Op::mixed_gemm).back() == Variant::onednn);
  prefer_vendor_variants();
  CHECK(selected_variant(Op::mixed_gemm) == Variant::onednn);
  CHECK(is_exact(selected_variant(Op::quantize)));
  reset_variants();
  CHECK(is_exact(selected_variant(Op::mixed_gemm)));
}
