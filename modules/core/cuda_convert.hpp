#pragma once

/// The conversions that NVIDIA's processors have: float32 to E4M3 and E5M2 and back from compute capability
/// 8.9 on, to bf16 from 8.0 on (PTX ISA, instruction cvt). core/fp8.hpp and core/bf16.hpp use them in
/// device code, where they give the bits of the integer arithmetic; tests/cuda compares all 2^32
/// numbers. PTX has none for E5M6, and those for UE8M0 from 10.0 on save nothing: it is a shift.
#if defined(__CUDA_ARCH__) && !defined(MORAY_ISA)

#include <cstdint>

#if __CUDA_ARCH__ >= 890
#define MORAY_CUDA_FP8
namespace moray::cuda {

/// satfinite: what lies beyond the largest value, infinities included, becomes it. What a NaN becomes is
/// not left to the processor.
__device__ __forceinline__ std::uint8_t e4m3_encode(float value) {
  std::uint16_t pair;  // the second operand is the lower byte
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0F), "f"(value));
  return value != value ? 0x7f : static_cast<std::uint8_t>(pair);
}
__device__ __forceinline__ std::uint8_t e5m2_encode(float value) {
  std::uint16_t pair;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0F), "f"(value));
  return value != value ? 0x7f : static_cast<std::uint8_t>(pair);
}

/// The lower one of two float16; float16 holds every value of E4M3 and E5M2.
__device__ __forceinline__ float lower_half(std::uint32_t halves) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<std::uint16_t>(halves)));
  return value != value ? __uint_as_float(0x7fc00000U) : value;
}
__device__ __forceinline__ float e4m3_decode(std::uint8_t code) {
  std::uint32_t halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<std::uint16_t>(code)));
  return lower_half(halves);
}
__device__ __forceinline__ float e5m2_decode(std::uint8_t code) {
  std::uint32_t halves;
  asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(static_cast<std::uint16_t>(code)));
  return lower_half(halves);
}

}  // namespace moray::cuda
#endif

#if __CUDA_ARCH__ >= 800
#define MORAY_CUDA_BF16
namespace moray::cuda {

/// `value` is no NaN: the instruction would forget its bits.
__device__ __forceinline__ std::uint16_t bf16_encode_number(float value) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

}  // namespace moray::cuda
#endif

#endif
