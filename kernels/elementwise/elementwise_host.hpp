#pragma once

/// Element-wise sums of one row for one instruction set, as plain functions over raw pointers. The
/// file that defines them is compiled once per instruction set: no Kokkos, no STL here.

#include <cstdint>

namespace moray {

/// The functions of elementwise.hpp for n consecutive elements.
struct HostElementwise {
  void (*add)(std::int64_t n, const float* a, const float* b, float* out);
  void (*add_sum)(std::int64_t n, const float* a, const float* b, const float* c, float* out);
  void (*copy)(std::int64_t n, const float* a, float* out);
  void (*scale)(std::int64_t n, float factor, float* x);
  void (*zero)(std::int64_t n, float* x);
};

}  // namespace moray
