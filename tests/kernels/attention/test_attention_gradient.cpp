// The backward against central differences, in float64 (directional derivatives along random
// directions): formulas, not bits.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "kernels/attention/problem.hpp"

using namespace moray;
using moray::test::Buffer;
using moray::test::Problem;
using moray::test::uniform;

namespace {

constexpr double kStep = 1e-5;
constexpr int kDirections = 8;

/// The scalar whose gradient is taken: sum of dout o.
double objective(Problem<double>& p) {
  p.forward();
  double sum = 0;
  const auto dout = p.host_view(p.dout, p.o_cols()), o = p.host_view(p.o, p.o_cols());
  for (std::int64_t t = 0; t < p.tokens(); ++t) {
    for (std::int64_t c = 0; c < p.o_cols(); ++c) sum += dout(t, c) * o(t, c);
  }
  return sum;
}

/// The derivative along `direction` by a fourth-order central difference.
double difference(Problem<double>& p, Buffer<double>& x, const std::vector<double>& direction) {
  const std::vector<double> saved = x.host;
  const auto at = [&](double distance) {
    for (std::size_t i = 0; i < saved.size(); ++i) x.host[i] = saved[i] + distance * direction[i];
    x.upload();
    return objective(p);
  };
  const double near = at(kStep) - at(-kStep), far = at(2 * kStep) - at(-2 * kStep);
  x.host = saved;
  x.upload();
  return (8 * near - far) / (12 * kStep);
}

}  // namespace

TEST_CASE("attention's backward is the derivative of its forward", "[attention][gradient]") {
  Problem<double> p({2, 19, 3, 12, 6, 10}, 1);
  // The kernel's query is the scaled one: dq is the gradient before scaling, scale dL/dq'.
  p.forward();
  p.backward();
  struct Tensor {
    const char* name;
    Buffer<double>* x;
    Buffer<double>* gradient;
    std::int64_t cols;
    double factor;
  };
  const Tensor tensors[] = {{"q", &p.q, &p.dq, p.q_cols(), static_cast<double>(p.scale)},
                            {"kv", &p.kv, &p.dkv, p.kv_cols(), 1},
                            {"k_pe", &p.k_pe, &p.dk_pe, p.shape.rope, 1}};
  std::uint64_t index = 1u << 20;
  for (const Tensor& tensor : tensors) {
    for (int n = 0; n < kDirections; ++n) {
      CAPTURE(tensor.name, n);
      std::vector<double> direction(tensor.x->host.size());
      for (double& d : direction) d = uniform(index++);
      const auto gradient = p.host_view(*tensor.gradient, tensor.cols);
      double expected = 0;
      for (std::int64_t t = 0; t < p.tokens(); ++t) {
        for (std::int64_t c = 0; c < tensor.cols; ++c) {
          expected += gradient(t, c) * direction[t * gradient.stride + c];
        }
      }
      const double found = tensor.factor * difference(p, *tensor.x, direction);
      CHECK(std::abs(expected - found) <= 1e-7 * std::max(std::abs(expected), std::abs(found)));
    }
  }
}
