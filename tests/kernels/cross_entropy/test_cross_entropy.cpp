#include "kernels/cross_entropy/cross_entropy.hpp"

#include <algorithm>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

struct Outputs {
  Tensor<float> m, l, loss, dlogit;
};

float plain_exp(float logit, float m) {
  const float difference = logit - m;
  return difference < -40.0F ? 0.0F : exp_exact(difference);
}

/// The definition (docs/numerics.md section 5).
void plain(Tensor<float>& logits, Tensor<std::int32_t>& targets, float lambda, Outputs& out) {
  const std::int64_t width = logits.cols();
  for (std::int64_t t = 0; t < logits.rows(); ++t) {
    float m = logits(t, 0);
    for (std::int64_t j = 1; j < width; ++j) m = std::max(m, logits(t, j));
    out.m[t] = m;
    out.l[t] = plain_row_reduction<float>(
        width, [&](std::int64_t j, float c) { return c + plain_exp(logits(t, j), m); });
    out.loss[t] = (m + log_exact(out.l[t])) - logits(t, targets[t]);
    const float r = 1.0F / out.l[t];
    for (std::int64_t j = 0; j < width; ++j) {
      const float p = plain_exp(logits(t, j), m) * r;
      out.dlogit(t, j) = (p - (j == targets[t] ? 1.0F : 0.0F)) * lambda;
    }
  }
}

void run(Tensor<float>& logits, Tensor<std::int32_t>& targets, float lambda, Outputs& out) {
  const ExecSpace exec;
  cross_entropy_forward<float>(exec, logits.device(), targets.device_vector(),
                               out.m.device_vector(), out.l.device_vector(),
                               out.loss.device_vector());
  finish(exec);
  for (Tensor<float>* x : {&out.m, &out.l, &out.loss}) x->fetch();
  cross_entropy_backward<float>(exec, logits.device(), targets.device_vector(),
                                out.m.device_vector(), out.l.device_vector(), lambda,
                                out.dlogit.device());
  finish(exec);
  out.dlogit.fetch();
}

Outputs outputs(const Tensor<float>& logits) {
  return {vector_tensor<float>(logits.rows()), vector_tensor<float>(logits.rows()),
          vector_tensor<float>(logits.rows()), logits};
}

void check(std::int64_t rows, std::int64_t width, std::int64_t gap, double spread) {
  INFO("rows " << rows << ", width " << width << ", gap " << gap << ", spread " << spread);
  std::mt19937 random(1);
  auto logits = Tensor<float>(rows, width, gap).fill(random, spread);
  auto targets = vector_tensor<std::int32_t>(rows);
  for (std::int64_t t = 0; t < rows; ++t) {
    targets[t] = static_cast<std::int32_t>(random() % static_cast<unsigned>(width));
  }
  Outputs got = outputs(logits), expected = outputs(logits);
  plain(logits, targets, 0.3F, expected);
  run(logits, targets, 0.3F, got);
  CHECK(got.m.same_bits(expected.m));
  CHECK(got.l.same_bits(expected.l));
  CHECK(got.loss.same_bits(expected.loss));
  CHECK(got.dlogit.same_bits(expected.dlogit));

  const ExecSpace exec;
  const Matrix<float> both = logits.device();  // dlogit may be logits
  cross_entropy_backward<float>(exec, both, targets.device_vector(), got.m.device_vector(),
                                got.l.device_vector(), 0.3F, both);
  finish(exec);
  logits.fetch();
  CHECK(logits.same_bits(expected.dlogit));
}

}  // namespace

TEST_CASE("cross entropy is the definition", "[cross_entropy]") {
  for_each_variant(Op::cross_entropy, [] {
    for (const double spread : {1.0, 15.0, 60.0}) {
      for (const std::int64_t width : kWidths) {
        check(4, width, 0, spread);
        check(3, width, 7, spread);
      }
      check(0, 16, 0, spread);
      check(2, 5003, 0, spread);
    }
  });
}

TEST_CASE("score spreads of 40, above 40 and above 88", "[cross_entropy]") {
  constexpr float kLogits[] = {0.0F, -40.0F, -0x1.400002p+5F, -87.0F, -89.0F, -1000.0F};
  const float smallest = exp_exact(-40.0F);
  REQUIRE(smallest > 0.0F);
  for_each_variant(Op::cross_entropy, [&] {
    for (const std::int64_t repeat : {1, 7}) {  // 6 and 42 columns: edge and full vectors
      const std::int64_t width = 6 * repeat;
      auto logits = Tensor<float>(1, width);
      for (std::int64_t j = 0; j < width; ++j) logits(0, j) = kLogits[j % 6];
      auto targets = vector_tensor<std::int32_t>(1);
      targets[0] = 2;
      Outputs out = outputs(logits);
      run(logits, targets, 1.0F, out);
      CHECK(out.m[0] == 0.0F);
      CHECK(out.l[0] == static_cast<float>(repeat));  // exp(-40) vanishes beside 1
      CHECK(out.loss[0] == log_exact(static_cast<float>(repeat)) + 0x1.400002p+5F);
      const float r = 1.0F / static_cast<float>(repeat);
      for (std::int64_t j = 0; j < width; ++j) {
        INFO("column " << j);
        const float p = j % 6 == 0 ? r : j % 6 == 1 ? smallest * r : 0.0F;
        CHECK(out.dlogit(0, j) == (j == 2 ? -1.0F : p));
        CHECK(std::signbit(out.dlogit(0, j)) == (j == 2));
      }
    }
  });
}

TEST_CASE("the maximum of zeros is +0", "[cross_entropy]") {
  for_each_variant(Op::cross_entropy, [] {
    for (const std::int64_t width : {1, 3, 20}) {
      auto logits = Tensor<float>(1, width).fill_with(-0.0F);
      if (width > 1) logits(0, width / 2) = 0.0F;
      auto targets = vector_tensor<std::int32_t>(1);
      Outputs out = outputs(logits);
      run(logits, targets, 1.0F, out);
      CHECK(out.m[0] == 0.0F);
      CHECK(!std::signbit(out.m[0]));
    }
  });
}
