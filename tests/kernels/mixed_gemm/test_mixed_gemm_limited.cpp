// The model of an accumulator of 14 bits: every variant against the definition of docs/fp8.md section 3,
// in float64 and with the library's functions, and the error that it is there to show.
#include <algorithm>

#include "core/bf16.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

int exponent(double x) {
  int e = 0;
  std::frexp(x, &e);
  return e - 1;
}
int least(NumberType type) {
  return type == NumberType::e4m3 ? -6 : -14;
}

struct Term {
  double value;
  int exponent;
};

/// c and up to 32 terms.
double add_group(double c, std::vector<Term> terms) {
  if (c != 0) terms.push_back({c, exponent(c)});
  int largest = -100000;
  for (const Term& t : terms) largest = std::max(largest, t.exponent);
  double sum = 0;
  for (const Term& t : terms) sum += std::trunc(std::ldexp(t.value, 13 - largest));
  if (sum == 0) return 0;
  const int e = exponent(sum);
  return std::ldexp(std::trunc(std::ldexp(sum, 13 - e)), e - 13 + largest - 13);
}

float plain_element(MixedProblem& p, std::int64_t i, std::int64_t j, bool promoted) {
  const MixedShape& s = p.shape;
  const bool tn = s.form == GemmForm::tn, nt = s.form == GemmForm::nt;
  const MixedOperand x = p.a.host(), y = p.b.host();
  float acc = tn ? p.expected(i, j) : 0.0F;
  double c = 0;
  const std::vector<RowBlock> sum = sum_of(s);
  for (std::size_t q = 0; q < sum.size(); ++q) {
    const float scale = p.scale(i, j, static_cast<std::int64_t>(q));
    if (promoted) c = 0;
    for (int done = 0; done < sum[q].count; done += 32) {
      std::vector<Term> terms;
      for (int k = done; k < std::min(sum[q].count, done + 32); ++k) {
        const std::int64_t l = sum[q].begin + k;
        const float a = tn ? plain_number(x, l, i) : plain_number(x, i, l);
        const float b = nt ? plain_number(y, j, l) : plain_number(y, l, j);
        if (a == 0 || b == 0) continue;
        const int e = std::max(exponent(a), least(s.a)) + std::max(exponent(b), least(s.b));
        const float product = a * b;
        terms.push_back({promoted ? product : product * scale,
                         promoted ? e : e + exponent(static_cast<double>(scale))});
      }
      c = add_group(c, std::move(terms));
    }
    if (promoted) acc = std::fma(static_cast<float>(c), scale, acc);
  }
  return (promoted ? acc : acc + static_cast<float>(c)) + 0.0F;
}

void check_limited(MixedProblem& p, Accumulation accumulation) {
  const ExecSpace exec;
  const MixedGemmTask task = p.task();
  mixed_gemm(exec, p.shape.form, {&task, 1}, accumulation);
  finish(exec);
  for (std::int64_t i = 0; i < p.shape.m; ++i) {
    for (std::int64_t j = 0; j < p.shape.n; ++j) {
      const float c = plain_element(p, i, j, accumulation == Accumulation::limited_promoted);
      (p.shape.rounded ? void(p.expected_rounded(i, j) = bf16_encode(c))
                       : void(p.expected(i, j) = c));
    }
  }
  INFO(describe(p.shape) << (accumulation == Accumulation::limited ? "" : ", promoted"));
  CHECK(p.is_as_expected());
}

constexpr Accumulation kLimited[] = {Accumulation::limited_promoted, Accumulation::limited};

}  // namespace

TEST_CASE("the limited accumulator is its definition in every variant", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(1);
    for (const GemmForm form : kForms) {
      for (const NumberType type : {NumberType::e4m3, NumberType::e5m2, NumberType::e5m6}) {
        for (const Accumulation accumulation : kLimited) {
          for (const std::int64_t k : {1, 31, 200, 700}) {
            MixedShape s;
            s.form = form;
            s.a = type;
            s.m = k == 31 ? 13 : 6;
            s.n = k == 200 ? 37 : 18;
            s.k = k;
            s.powers = k == 700;
            s.rounded = form != GemmForm::tn && k > 31;
            s.gap = 1;
            if (form == GemmForm::tn) s.lengths = {k / 2, k - k / 2};
            MixedProblem p(s, random);
            check_limited(p, accumulation);
          }
        }
      }
    }
  });
}

TEST_CASE("sums of the limited accumulator outlive what a kernel packs at a time", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(2);
    for (const GemmForm form : {GemmForm::nt, GemmForm::tn}) {
      MixedShape s;
      s.form = form;
      s.m = 2;
      s.n = 520;
      s.k = 2300;
      if (form == GemmForm::tn) s.lengths = {1100, 1200};
      MixedProblem p(s, random);
      check_limited(p, Accumulation::limited);
    }
  });
}

TEST_CASE("without promotion a NaN still spoils its row", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(3);
    MixedShape s;
    s.m = 3;
    s.n = 20;
    s.k = 1000;
    MixedProblem p(s, random);
    p.a.scales(1, 0) = std::numeric_limits<float>::quiet_NaN();
    const MixedGemmTask task = p.task();
    for (const Accumulation accumulation : kLimited) {
      mixed_gemm(ExecSpace(), s.form, {&task, 1}, accumulation);
      finish(ExecSpace());
      p.c.fetch();
      for (std::int64_t j = 0; j < s.n; ++j) {
        REQUIRE(std::isnan(p.c(1, j)));
        REQUIRE(std::isfinite(p.c(0, j)));
        REQUIRE(std::isfinite(p.c(2, j)));
      }
    }
  });
}

// DeepSeek-V3, arXiv 2412.19437, section 3.3.2, saw errors of nearly 2 % at K = 4096 with random
// matrices, and takes them away by promotion. Here all numbers are positive: each step loses.
TEST_CASE("at K = 4096 the limited accumulator is off by per cent, promoted it is not",
          "[mixed_gemm]") {
  std::mt19937 random(4);
  MixedShape s;
  s.m = 16;
  s.n = 64;
  s.k = 4096;
  s.powers = true;
  MixedProblem p(s, random);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (MixedStored* x : {&p.a, &p.b}) {
    x->scales.fill_with(1);
    for (std::int64_t i = 0; i < x->numbers.rows() * s.k; ++i) {
      x->numbers[i] = e4m3_encode(uniform(random));
    }
  }
  const MixedGemmTask task = p.task();
  const auto run = [&](Accumulation accumulation) {
    mixed_gemm(ExecSpace(), s.form, {&task, 1}, accumulation);
    finish(ExecSpace());
    p.c.fetch();
    return p.c;
  };
  auto exact = run(Accumulation::exact);
  double worst[2] = {0, 0};
  for (const Accumulation accumulation : kLimited) {
    auto got = run(accumulation);
    for (std::int64_t i = 0; i < s.m * s.n; ++i) {
      const double error =
          std::abs(static_cast<double>(got[i]) / static_cast<double>(exact[i]) - 1);
      double& most = worst[accumulation == Accumulation::limited ? 1 : 0];
      most = std::max(most, error);
    }
  }
  CAPTURE(worst[0], worst[1]);
  CHECK(worst[1] > 0.02);
  CHECK(worst[1] < 0.1);
  CHECK(worst[0] < 0.001);
}
