#include "kernels/swiglu/swiglu.hpp"

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

float plain_sigmoid(float x) {
  return 1.0F / (1.0F + exp_exact(-x));
}

/// The definition (docs/numerics.md section 5); w empty for the dense FFN.
void plain_forward(Tensor<float>& gu, Tensor<float>& w, Tensor<float>& act) {
  const std::int64_t width = act.cols();
  for (std::int64_t t = 0; t < act.rows(); ++t) {
    for (std::int64_t j = 0; j < width; ++j) {
      const float g = gu(t, j);
      const float silu = g * plain_sigmoid(g);
      const float a = silu * gu(t, width + j);
      act(t, j) = w.cols() == 0 ? a : a * w[t];
    }
  }
}

void plain_backward(Tensor<float>& dh, Tensor<float>& gu, Tensor<float>& w, Tensor<float>& dgu,
                    Tensor<float>& dw) {
  const std::int64_t width = dh.cols();
  for (std::int64_t t = 0; t < dh.rows(); ++t) {
    for (std::int64_t j = 0; j < width; ++j) {
      const float g = gu(t, j), u = gu(t, width + j);
      const float s = plain_sigmoid(g);
      const float silu = g * s;
      const float product = g * (1.0F - s);
      const float dsilu = s * (1.0F + product);
      const float da = w.cols() == 0 ? dh(t, j) : dh(t, j) * w[t];
      dgu(t, width + j) = da * silu;
      dgu(t, j) = (da * u) * dsilu;
    }
    if (w.cols() == 0) continue;
    dw[t] = plain_row_reduction<float>(width, [&](std::int64_t j, float c) {
      const float silu = gu(t, j) * plain_sigmoid(gu(t, j));
      const float a = silu * gu(t, width + j);
      return std::fma(dh(t, j), a, c);
    });
  }
}

/// All calls for one shape.
void check(std::int64_t rows, std::int64_t width, std::int64_t gap, bool weighted) {
  INFO("rows " << rows << ", width " << width << ", gap " << gap << ", weighted " << weighted);
  const ExecSpace exec;
  std::mt19937 random(1);
  auto gu = Tensor<float>(rows, 2 * width, gap).fill(random, 3);
  auto w = vector_tensor<float>(weighted ? rows : 0).fill(random);
  auto act = Tensor<float>(rows, width, gap).fill(random);
  auto expected_act = act;
  plain_forward(gu, w, expected_act);
  swiglu_forward<float>(exec, gu.device(), w.device_vector(), act.device());
  finish(exec);
  act.fetch();
  CHECK(act.same_bits(expected_act));

  auto dh = Tensor<float>(rows, width, gap).fill(random);
  auto dw = vector_tensor<float>(weighted ? rows : 0).fill(random);
  auto expected_dw = dw;
  auto dgu = gu;
  auto expected_dgu = gu;  // also what lies between the rows
  plain_backward(dh, gu, w, expected_dgu, expected_dw);
  swiglu_backward<float>(exec, dh.device(), gu.device(), w.device_vector(), dgu.device(),
                         dw.device_vector());
  finish(exec);
  dgu.fetch();
  dw.fetch();
  CHECK(dgu.same_bits(expected_dgu));
  CHECK(dw.same_bits(expected_dw));

  const Matrix<float> both = gu.device();  // dgu may be gu
  swiglu_backward<float>(exec, dh.device(), both, w.device_vector(), both, dw.device_vector());
  finish(exec);
  gu.fetch();
  dw.fetch();
  CHECK(gu.same_bits(expected_dgu));
  CHECK(dw.same_bits(expected_dw));
}

}  // namespace

TEST_CASE("swiglu is the definition", "[swiglu]") {
  for_each_variant(Op::swiglu, [] {
    for (const bool weighted : {false, true}) {
      for (const std::int64_t width : kWidths) {
        check(3, width, 0, weighted);
        check(2, width, 5, weighted);
      }
      check(0, 16, 0, weighted);
      check(19, 352, 0, weighted);
    }
  });
}

TEST_CASE("silu at +-100", "[swiglu]") {
  const ExecSpace exec;
  for_each_variant(Op::swiglu, [&] {
    for (const std::int64_t width : {1, 16, 21}) {
      auto gu = Tensor<float>(2, 2 * width).fill_with(1.0F);
      auto no_weights = vector_tensor<float>(0);
      for (std::int64_t j = 0; j < width; ++j) {
        gu(0, j) = 100.0F;
        gu(1, j) = -100.0F;
      }
      auto act = Tensor<float>(2, width);
      auto dh = Tensor<float>(2, width).fill_with(1.0F);
      auto dgu = Tensor<float>(2, 2 * width);
      swiglu_forward<float>(exec, gu.device(), no_weights.device_vector(), act.device());
      swiglu_backward<float>(exec, dh.device(), gu.device(), no_weights.device_vector(),
                             dgu.device(), no_weights.device_vector());
      finish(exec);
      act.fetch();
      dgu.fetch();
      for (std::int64_t j = 0; j < width; ++j) {
        // exp(100) is infinite in float32: sigmoid(-100) is +0, and silu(-100) is -0.
        CHECK(act(0, j) == 100.0F);
        CHECK((act(1, j) == 0.0F && std::signbit(act(1, j))));
        CHECK(dgu(0, j) == 1.0F);
        CHECK((dgu(1, j) == 0.0F && std::signbit(dgu(1, j))));  // 0 (1 + -100 1) = -0
        CHECK(dgu(0, width + j) == 100.0F);
      }
    }
  });
}
