#pragma once

/// Cross-entropy of one row for one instruction set, as plain functions over raw pointers. The file
/// that defines them is compiled once per instruction set: no Kokkos, no STL here.

#include <cstdint>

namespace moray {

/// The functions of cross_entropy.hpp for a row of `width` logits.
struct HostCrossEntropy {
  /// Writes m and l, returns the loss.
  float (*forward)(std::int64_t width, const float* logits, std::int32_t target, float* m,
                   float* l);
  /// dlogit may be logits.
  void (*backward)(std::int64_t width, const float* logits, std::int32_t target, float m, float l,
                   float lambda, float* dlogit);
};

}  // namespace moray
