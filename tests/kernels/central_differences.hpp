#pragma once

/// A backward is checked against central differences of its forward, in float64.

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/tensor.hpp"

namespace moray::test {

inline constexpr int kDirections = 8;
inline constexpr double kDirectionBar = 1e-7;

/// The worst |a - b| / max(|a|, |b|) over random directions d, with a = gradient . d and
/// b = (loss(x + h d) - loss(x - h d)) / 2 h. loss() reads x, which is left as it was.
template <class Loss>
double worst_direction(Tensor<double>& x, Tensor<double>& gradient, std::mt19937& random,
                       const Loss& loss) {
  constexpr double kStep = 1e-5;
  const Tensor<double> start = x;
  double worst = 0;
  for (int direction = 0; direction < kDirections; ++direction) {
    Tensor<double> d(x.rows(), x.cols());
    d.fill(random);
    long double slope = 0;
    for (std::int64_t i = 0; i < x.rows(); ++i) {
      for (std::int64_t j = 0; j < x.cols(); ++j) slope += gradient(i, j) * d(i, j);
    }
    const auto loss_at = [&](double step) {
      x = start;
      for (std::int64_t i = 0; i < x.rows(); ++i) {
        for (std::int64_t j = 0; j < x.cols(); ++j) x(i, j) += step * d(i, j);
      }
      return loss();
    };
    const long double difference = loss_at(kStep) - loss_at(-kStep);
    const auto a = static_cast<double>(slope);
    const auto b = static_cast<double>(difference / (2 * static_cast<long double>(kStep)));
    worst = std::max(worst, std::abs(a - b) / std::max(std::abs(a), std::abs(b)));
  }
  x = start;
  return worst;
}

/// sum_ij a_ij b_ij without the rounding of float64: losses are formed from outputs by it.
inline long double dot(Tensor<double>& a, Tensor<double>& b) {
  long double sum = 0;
  for (std::int64_t i = 0; i < a.rows(); ++i) {
    for (std::int64_t j = 0; j < a.cols(); ++j) {
      sum += static_cast<long double>(a(i, j)) * static_cast<long double>(b(i, j));
    }
  }
  return sum;
}

}  // namespace moray::test
