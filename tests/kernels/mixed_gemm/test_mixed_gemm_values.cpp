// Single values: zeros and their signs, NaN, rounding, and what quantised operands multiply to.
#include "core/bf16.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

MixedShape shape(GemmForm form, NumberType type, std::int64_t m, std::int64_t n, std::int64_t k) {
  MixedShape s;
  s.form = form;
  s.a = s.b = type;
  s.m = m;
  s.n = n;
  s.k = k;
  if (form == GemmForm::tn && type != NumberType::bf16) s.lengths = {k};
  return s;
}

void run(MixedProblem& p) {
  const ExecSpace exec;
  const MixedGemmTask task = p.task();
  mixed_gemm(exec, p.shape.form, {&task, 1});
  finish(exec);
}

/// 1 - 2 <x, y> / (<x, x> + <y, y>).
double calc_diff(Tensor<float>& x, Tensor<double>& y) {
  double xy = 0, xx = 0, yy = 0;
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    for (std::int64_t j = 0; j < x.cols(); ++j) {
      const auto value = static_cast<double>(x(i, j));
      xy += value * y(i, j);
      xx += value * value;
      yy += y(i, j) * y(i, j);
    }
  }
  return 1 - 2 * xy / (xx + yy);
}

/// Codes and scales of a matrix on the backend.
struct Coded {
  Coded(CodeType type, std::int64_t rows, std::int64_t cols, std::int64_t scale_rows,
        std::int64_t scale_cols)
      : codes(rows, code_bytes(type, cols)), scales(scale_rows, scale_cols) {
    quantized = {type, codes.device(), scales.device()};
  }
  Tensor<std::uint8_t> codes;
  Tensor<float> scales;
  Quantized quantized;
};

}  // namespace

TEST_CASE("a product of zeros is +0, whatever their signs", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(1);
    for (const GemmForm form : kForms) {
      for (const bool rounded : {false, true}) {
        if (rounded && form == GemmForm::tn) continue;
        MixedShape s = shape(form, NumberType::e4m3, 15, 37, 200);
        s.rounded = rounded;
        MixedProblem p(s, random);
        p.a.numbers.fill_with(0x80);  // -0 times what it meets
        p.c.fill_with(-0.0F);
        p.expected = p.c;
        run(p);
        CHECK(p.matches());
        for (std::int64_t i = 0; i < s.m; ++i) {
          for (std::int64_t j = 0; j < s.n; ++j) REQUIRE(!std::signbit(p.result(i, j)));
        }
      }
    }
  });
}

TEST_CASE("a weight gradient without a block keeps its c", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(2);
    for (const NumberType type : {NumberType::bf16, NumberType::e4m3}) {
      MixedProblem p(shape(GemmForm::tn, type, 5, 9, 0), random);
      p.shape.lengths.clear();
      p.c.fill_with(-0.0F);
      p.expected = p.c;
      run(p);
      CHECK(p.matches());
    }
  });
}

TEST_CASE("a block that holds NaN spoils its row or column and nothing else", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(3);
    MixedProblem p(shape(GemmForm::nt, NumberType::e4m3, 29, 300, 260), random);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    p.a.scales(28, 1) = nan;
    p.b.scales(1, 2) = nan;  // columns 128 to 255
    run(p);
    p.c.fetch();
    for (std::int64_t i = 0; i < 29; ++i) {
      for (std::int64_t j = 0; j < 300; ++j) {
        REQUIRE(std::isnan(p.c(i, j)) == (i == 28 || j / 128 == 1));
      }
    }
  });
}

TEST_CASE("a weight gradient goes on from call to call at the ends of sequences", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(4);
    MixedShape s = shape(GemmForm::tn, NumberType::e4m3, 50, 75, 300);
    s.lengths = {140, 20, 140};
    MixedProblem p(s, random);
    const ExecSpace exec;
    const MixedGemmTask whole = p.task();
    for (const std::int64_t q : {0, 2, 3}) {  // blocks of 128 and 12, of 20, of 128 and 12 rows
      MixedGemmTask task = whole;
      task.blocks = whole.blocks.slice(q, q == 2 ? 1 : 2);
      task.a.scales += q * task.a.scale_stride;
      task.b.scales += q * task.b.scale_stride;
      mixed_gemm(exec, GemmForm::tn, {&task, 1});
      finish(exec);
    }
    CHECK(p.matches());
  });
}

TEST_CASE("bf16 results are rounded to nearest, ties to even", "[mixed_gemm]") {
  for_each_variant(Op::mixed_gemm, [] {
    std::mt19937 random(5);
    MixedShape s = shape(GemmForm::nt, NumberType::bf16, 4, 3, 2);
    s.rounded = true;
    MixedProblem p(s, random);
    // x + y with a step of 2^-7 between neighbours of 1: 2^-8 is half of it.
    const float x[] = {1.0F, 1.0F + 0x1p-7F, 1.0F, 0x1p-130F};
    const float y[] = {0x1p-8F, 0x1p-8F, 0x1.8p-8F, 0.0F};
    const float sum[] = {1.0F, 1.0F + 0x1p-6F, 1.0F + 0x1p-7F, 0x1p-130F};
    for (std::int64_t i = 0; i < 4; ++i) {
      auto* row = reinterpret_cast<std::uint16_t*>(p.a.numbers.host().row(i));
      row[0] = bf16_encode(x[i]);
      row[1] = bf16_encode(y[i]);
    }
    for (std::int64_t j = 0; j < 3; ++j) {
      auto* row = reinterpret_cast<std::uint16_t*>(p.b.numbers.host().row(j));
      row[0] = row[1] = bf16_encode(1.0F);
    }
    run(p);
    CHECK(p.matches());
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t j = 0; j < 3; ++j) CHECK(p.result(i, j) == sum[i]);
    }
  });
}

TEST_CASE("quantised products of normal data are within 1e-3", "[mixed_gemm]") {
  const std::int64_t tokens = 300, out = 200, in = 400;
  std::mt19937 random(6);
  const ExecSpace exec;
  auto x = Tensor<float>(tokens, in).fill(random), dy = Tensor<float>(tokens, out).fill(random);
  auto w = Tensor<float>(out, in).fill(random, 0.02);
  std::vector<RowBlock> list;
  append_row_blocks(0, 140, list);
  append_row_blocks(140, 160, list);
  auto blocks = vector_tensor<RowBlock>(static_cast<std::int64_t>(list.size()));
  for (std::size_t q = 0; q < list.size(); ++q) blocks[static_cast<std::int64_t>(q)] = list[q];

  for_each_variant(Op::mixed_gemm, [&] {
    for (const ScaleRule rule : {ScaleRule::float32, ScaleRule::power_of_two}) {
      const std::int64_t q = static_cast<std::int64_t>(list.size());
      Coded x8(CodeType::e4m3, tokens, in, tokens, scale_blocks(in));
      Coded x12(CodeType::e5m6, tokens, in, tokens, scale_blocks(in));
      Coded dy8(CodeType::e4m3, tokens, out, tokens, scale_blocks(out));
      Coded w8(CodeType::e4m3, out, in, scale_blocks(out), scale_blocks(in));
      Coded xt(CodeType::e4m3, tokens, in, q, in), dyt(CodeType::e4m3, tokens, out, q, out);
      const Vector<const RowBlock> table = blocks.device_vector();
      quantize_tokens(exec, x.device(), rule, x8.quantized);
      quantize_tokens(exec, x.device(), rule, x12.quantized);
      quantize_tokens(exec, dy.device(), rule, dy8.quantized);
      quantize_weights(exec, w.device(), rule, w8.quantized);
      quantize_channels(exec, x.device(), table, rule, Layout::rows, xt.quantized);
      quantize_channels(exec, dy.device(), table, rule, Layout::rows, dyt.quantized);

      const auto difference = [&](GemmForm form, const MixedOperand& a, const MixedOperand& b,
                                  std::int64_t m, std::int64_t n, std::int64_t k, auto exact) {
        auto c = Tensor<float>(m, n).fill_with(0.0F);
        Tensor<double> expected(m, n);
        for (std::int64_t i = 0; i < m; ++i) {
          for (std::int64_t j = 0; j < n; ++j) {
            for (std::int64_t l = 0; l < k; ++l) expected(i, j) += exact(i, j, l);
          }
        }
        MixedGemmTask t;
        t.a = a;
        t.b = b;
        t.c = c.device().data;
        t.ldc = t.n = n;
        t.m = m;
        t.k = k;
        if (form == GemmForm::tn) t.blocks = table;
        mixed_gemm(exec, form, {&t, 1});
        finish(exec);
        c.fetch();
        return calc_diff(c, expected);
      };
      const auto product = [](float p, float r) {
        return static_cast<double>(p) * static_cast<double>(r);
      };
      using std::int64_t;
      const auto forward = [&](int64_t i, int64_t j, int64_t l) {
        return product(x(i, l), w(j, l));
      };
      const auto dgrad = [&](int64_t i, int64_t j, int64_t l) {
        return product(dy(i, l), w(l, j));
      };
      const auto wgrad = [&](int64_t i, int64_t j, int64_t l) {
        return product(dy(l, i), x(l, j));
      };
      const MixedOperand weights = operand(w8.quantized, 128);
      const double e4m3 =
          difference(GemmForm::nt, operand(x8.quantized), weights, tokens, out, in, forward);
      const double e5m6 =
          difference(GemmForm::nt, operand(x12.quantized), weights, tokens, out, in, forward);
      const double input =
          difference(GemmForm::nn, operand(dy8.quantized), weights, tokens, in, out, dgrad);
      const double weight = difference(GemmForm::tn, operand(dyt.quantized), operand(xt.quantized),
                                       out, in, tokens, wgrad);
      CAPTURE(e4m3, e5m6, input, weight);
      CHECK(e4m3 < 1e-3);
      CHECK(input < 1e-3);
      CHECK(weight < 1e-3);
      CHECK(e5m6 < 0.6 * e4m3);  // of two errors that of x is gone
      CHECK(e5m6 > 1e-5);        // and that of w is not
    }
  });
}
