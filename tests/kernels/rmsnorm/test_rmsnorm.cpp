#include "kernels/rmsnorm/rmsnorm.hpp"

#include "catch.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr float kEps = 1e-6F;

/// The definition (docs/numerics.md section 5), row by row.
float plain_inverse(const float* x, std::int64_t width) {
  const float sum = plain_row_reduction<float>(
      width, [&](std::int64_t j, float c) { return std::fma(x[j], x[j], c); });
  return 1.0F / std::sqrt(sum / static_cast<float>(width) + kEps);
}

void plain_backward_row(const float* dy, const float* x, const float* gamma, float r,
                        std::int64_t width, float* dx) {
  const float mean = plain_row_reduction<float>(width,
                                                [&](std::int64_t j, float c) {
                                                  const float xhat = x[j] * r;
                                                  return std::fma(dy[j] * gamma[j], xhat, c);
                                                }) /
                     static_cast<float>(width);
  for (std::int64_t j = 0; j < width; ++j) {
    const float xhat = x[j] * r;
    const float product = xhat * mean;
    dx[j] = r * (dy[j] * gamma[j] - product);
  }
}

struct Shape {
  std::int64_t rows, width, gap;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all = {{0, 16, 0}, {37, 384, 0}, {5, 1024, 16}};
  for (const std::int64_t width : kWidths) {
    all.push_back({3, width, 0});
    all.push_back({2, width, 5});
  }
  return all;
}

}  // namespace

TEST_CASE("rmsnorm forward and recompute are the definition", "[rmsnorm]") {
  const ExecSpace exec;
  for_each_variant(Op::rmsnorm, [&] {
    std::mt19937 random(1);
    for (const auto [rows, width, gap] : shapes()) {
      INFO("rows " << rows << ", width " << width << ", gap " << gap);
      auto x = Tensor<float>(rows, width, gap).fill(random);
      auto gamma = vector_tensor<float>(width).fill(random);
      auto y = Tensor<float>(rows, width, gap).fill(random);
      auto r = vector_tensor<float>(rows).fill(random);
      auto expected_y = y;
      auto expected_r = r;
      for (std::int64_t t = 0; t < rows; ++t) {
        expected_r[t] = plain_inverse(x.host().row(t), width);
        for (std::int64_t j = 0; j < width; ++j) {
          expected_y(t, j) = (x(t, j) * expected_r[t]) * gamma[j];
        }
      }
      auto again = y;
      rmsnorm_forward<float>(exec, x.device(), gamma.device_vector(), kEps, y.device(),
                             r.device_vector());
      finish(exec);
      y.fetch();
      r.fetch();
      CHECK(r.same_bits(expected_r));
      CHECK(y.same_bits(expected_y));
      rmsnorm_recompute<float>(exec, x.device(), gamma.device_vector(), r.device_vector(),
                               again.device());
      finish(exec);
      again.fetch();
      CHECK(again.same_bits(expected_y));
    }
  });
}

TEST_CASE("rmsnorm forward in place", "[rmsnorm]") {
  const ExecSpace exec;
  for_each_variant(Op::rmsnorm, [&] {
    std::mt19937 random(2);
    auto x = Tensor<float>(4, 33, 2).fill(random);
    auto gamma = vector_tensor<float>(33).fill(random);
    auto r = vector_tensor<float>(4);
    auto expected = x;
    rmsnorm_forward<float>(exec, x.device(), gamma.device_vector(), kEps, expected.device(),
                           r.device_vector());
    finish(exec);
    expected.fetch();
    const Matrix<float> both = x.device();
    rmsnorm_forward<float>(exec, both, gamma.device_vector(), kEps, both, r.device_vector());
    finish(exec);
    x.fetch();
    CHECK(x.same_bits(expected));
  });
}

TEST_CASE("rmsnorm backward is the definition", "[rmsnorm]") {
  const ExecSpace exec;
  for_each_variant(Op::rmsnorm, [&] {
    std::mt19937 random(3);
    for (const auto [rows, width, gap] : shapes()) {
      INFO("rows " << rows << ", width " << width << ", gap " << gap);
      auto x = Tensor<float>(rows, width, gap).fill(random);
      auto dy = Tensor<float>(rows, width, gap).fill(random);
      auto gamma = vector_tensor<float>(width).fill(random);
      auto r = vector_tensor<float>(rows).fill(random);
      auto dx = dy;  // the gradient of the input may overwrite that of the output
      auto expected_dx = dy;
      auto dgamma = vector_tensor<float>(width).fill(random);
      auto expected_dgamma = dgamma;
      for (std::int64_t t = 0; t < rows; ++t) {
        plain_backward_row(dy.host().row(t), x.host().row(t), gamma.host().row(0), r[t], width,
                           expected_dx.host().row(t));
        for (std::int64_t j = 0; j < width; ++j) {
          const float xhat = x(t, j) * r[t];
          expected_dgamma[j] = std::fma(dy(t, j), xhat, expected_dgamma[j]);
        }
      }
      rmsnorm_backward_weight<float>(exec, dy.device(), x.device(), r.device_vector(),
                                     dgamma.device_vector());
      const Matrix<float> both = dx.device();
      rmsnorm_backward_input<float>(exec, both, x.device(), gamma.device_vector(),
                                    r.device_vector(), both);
      finish(exec);
      dx.fetch();
      dgamma.fetch();
      CHECK(dx.same_bits(expected_dx));
      CHECK(dgamma.same_bits(expected_dgamma));
    }
  });
}

TEST_CASE("a chain of dgamma that ends in -0 by underflow returns +0", "[rmsnorm]") {
  const ExecSpace exec;
  for_each_variant(Op::rmsnorm, [&] {
    for (const std::int64_t width : {1, 16, 40}) {
      auto x = Tensor<float>(2, width).fill_with(0x1p-100F);
      auto dy = Tensor<float>(2, width).fill_with(-0x1p-100F);
      auto r = vector_tensor<float>(2).fill_with(1.0F);
      auto dgamma = vector_tensor<float>(width);
      REQUIRE(std::signbit(std::fma(dy(0, 0), x(0, 0), 0.0F)));
      rmsnorm_backward_weight<float>(exec, dy.device(), x.device(), r.device_vector(),
                                     dgamma.device_vector());
      finish(exec);
      dgamma.fetch();
      for (std::int64_t j = 0; j < width; ++j) {
        CHECK(dgamma[j] == 0.0F);
        CHECK(!std::signbit(dgamma[j]));
      }
    }
  });
}
