#include "catch.hpp"
#include "kernels/central_differences.hpp"
#include "kernels/rmsnorm/rmsnorm.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("rmsnorm backward agrees with central differences", "[rmsnorm]") {
  const ExecSpace exec;
  std::mt19937 random(4);
  for (const std::int64_t width : {1, 17, 48}) {
    const std::int64_t rows = 3;
    INFO("width " << width);
    auto x = Tensor<double>(rows, width).fill(random);
    auto gamma = vector_tensor<double>(width).fill(random);
    auto dy = Tensor<double>(rows, width).fill(random);
    auto y = Tensor<double>(rows, width);
    auto r = vector_tensor<double>(rows);
    // A single channel is nearly its own norm: a larger eps leaves a slope to measure.
    const double eps = width == 1 ? 0.5 : 1e-6;
    const auto loss = [&] {
      rmsnorm_forward<double>(exec, x.device(), gamma.device_vector(), eps, y.device(),
                              r.device_vector());
      finish(exec);
      y.fetch();
      r.fetch();
      return dot(y, dy);
    };
    loss();
    auto dx = Tensor<double>(rows, width);
    auto dgamma = vector_tensor<double>(width);
    rmsnorm_backward_input<double>(exec, dy.device(), x.device(), gamma.device_vector(),
                                   r.device_vector(), dx.device());
    rmsnorm_backward_weight<double>(exec, dy.device(), x.device(), r.device_vector(),
                                    dgamma.device_vector());
    finish(exec);
    dx.fetch();
    dgamma.fetch();
    CHECK(worst_direction(x, dx, random, loss) <= kDirectionBar);
    CHECK(worst_direction(gamma, dgamma, random, loss) <= kDirectionBar);
  }
}
