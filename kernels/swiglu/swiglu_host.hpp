#pragma once

/// SwiGLU of one row for one instruction set, as plain functions over raw pointers. The file that
/// defines them is compiled once per instruction set: no Kokkos, no STL here.

#include <cstdint>

namespace moray {

/// The functions of swiglu.hpp for a row of `width`. `weight` is null where there is none.
struct HostSwiglu {
  void (*forward)(std::int64_t width, const float* g, const float* u, const float* weight,
                  float* act);
  /// Also writes dw where there is a weight. dg and du may be g and u.
  void (*backward)(std::int64_t width, const float* dh, const float* g, const float* u,
                   const float* weight, float* dg, float* du, float* dw);
};

}  // namespace moray
