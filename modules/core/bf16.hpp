#pragma once

#include <cstdint>

#include "core/cuda_convert.hpp"
#include "core/function.hpp"

namespace moray {

/// bf16 is kept as its 16 bits: Kokkos's half types are aliases of float on host builds.
MORAY_FUNCTION float bf16_decode(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

/// Round to nearest, ties to even, by integer arithmetic: the processor's own conversion
/// (vcvtneps2bf16) flushes denormals. A NaN stays one, made quiet.
MORAY_FUNCTION std::uint16_t bf16_encode(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
#ifdef MORAY_CUDA_BF16
  if (!is_nan) return cuda::bf16_encode_number(value);
#endif
  const std::uint32_t rounded = bits + 0x7fffU + ((bits >> 16) & 1U);
  return static_cast<std::uint16_t>((is_nan ? bits | 0x400000U : rounded) >> 16);
}

}  // namespace moray
