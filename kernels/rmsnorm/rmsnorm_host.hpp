#pragma once

/// RMSNorm of one row for one instruction set, as plain functions over raw pointers. The file that
/// defines them is compiled once per instruction set: no Kokkos, no STL here.

#include <cstdint>

namespace moray {

/// The functions of rmsnorm.hpp for a row of `width`; their aliasing holds here too.
struct HostRmsnorm {
  /// Writes y and returns r.
  float (*forward)(std::int64_t width, const float* x, const float* gamma, float eps, float* y);
  void (*recompute)(std::int64_t width, const float* x, const float* gamma, float r, float* y);
  void (*backward_input)(std::int64_t width, const float* dy, const float* x, const float* gamma,
                         float r, float* dx);
  /// A range of `width` columns over all rows; strides in elements.
  void (*backward_weight)(std::int64_t rows, std::int64_t width, const float* dy,
                          std::int64_t dy_stride, const float* x, std::int64_t x_stride,
                          const float* r, float* dgamma);
};

/// Columns that backward_weight keeps in registers at a time.
inline constexpr std::int64_t kHostRmsnormColumns = 64;

}  // namespace moray
