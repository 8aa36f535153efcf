#include "catch.hpp"
#include "kernels/central_differences.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("cross entropy backward agrees with central differences", "[cross_entropy]") {
  const ExecSpace exec;
  std::mt19937 random(3);
  const std::int64_t rows = 5, width = 39;
  const double lambda = 0.7;
  auto logits = Tensor<double>(rows, width).fill(random);
  auto targets = vector_tensor<std::int32_t>(rows);
  for (std::int64_t t = 0; t < rows; ++t) targets[t] = static_cast<std::int32_t>(7 * t);
  auto m = vector_tensor<double>(rows);
  auto l = vector_tensor<double>(rows);
  auto losses = vector_tensor<double>(rows);
  auto factor = vector_tensor<double>(rows).fill_with(lambda);
  const auto loss = [&] {
    cross_entropy_forward<double>(exec, logits.device(), targets.device_vector(), m.device_vector(),
                                  l.device_vector(), losses.device_vector());
    finish(exec);
    for (Tensor<double>* x : {&m, &l, &losses}) x->fetch();
    return dot(losses, factor);
  };
  loss();
  auto dlogit = Tensor<double>(rows, width);
  cross_entropy_backward<double>(exec, logits.device(), targets.device_vector(), m.device_vector(),
                                 l.device_vector(), lambda, dlogit.device());
  finish(exec);
  dlogit.fetch();
  CHECK(worst_direction(logits, dlogit, random, loss) <= kDirectionBar);
}
