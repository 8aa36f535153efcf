#pragma once

#include "kernels/host/simd.hpp"

/// The loop of an element-wise host micro-kernel. Functions that use it are MORAY_HOST_KERNEL: all
/// calls within are inlined, so that the body has a constant count in the main loop.
#define MORAY_HOST_KERNEL __attribute__((flatten))

namespace moray::MORAY_ISA {

/// body(i, count) for [0, n) in order: whole vectors, then what is left.
template <class Body>
MORAY_FUNCTION void vector_loop(std::int64_t n, const Body& body) {
  std::int64_t i = 0;
  for (; i + Float::kLanes <= n; i += Float::kLanes) body(i, Float::kLanes);
  if (i < n) body(i, static_cast<int>(n - i));
}

}  // namespace moray::MORAY_ISA
