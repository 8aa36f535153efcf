#pragma once

#include <cstdint>

#include "core/cuda_convert.hpp"
#include "core/function.hpp"

/// Floating-point formats of 8 and 12 bits and power-of-two scales of 8 bits: docs/fp8.md.
///
///   E4M3   1 + 4 + 3 bits, largest 448, no infinity, NaN 0x7f and 0xff  ("float8_e4m3fn")
///   E5M2   1 + 5 + 2 bits, largest 57344, infinity 0x7c, NaN beyond     (IEEE; "float8_e5m2")
///   E5M6   1 + 5 + 6 bits, largest 65024: a float16 without its last four bits
///   UE8M0  8 bits, 2^(code - 127), NaN 0xff; no sign, no zero
///
/// (OCP 8-bit Floating Point Specification 1.0 and Microscaling Formats 1.0; E5M6 as in DeepSeek-V3,
/// arXiv 2412.19437, section 3.3.3.) Encoding rounds to the nearest value, ties to the even code;
/// whatever lies beyond the largest value, infinities included, becomes the largest with its sign;
/// a NaN becomes 0x7f (0x7ff in E5M6), without a sign. Subnormals are kept, -0 stays -0. Decoding is
/// exact; every NaN code gives the float32 0x7fc00000.
///
/// bf16 is in core/bf16.hpp. The arithmetic is that of integers, so that no processor's conversion or
/// denormal mode shows; it is written once for one value and for vectors of a compiler's own type.
/// Device code of CUDA uses its processors' conversions, which give the same bits.
namespace MORAY_FUNCTIONS_NAMESPACE {

/// The fields of a format with sign, `exponent` and `mantissa` bits.
template <int exponent, int mantissa, std::int32_t largest, std::int32_t infinity>
struct SmallFormat {
  static constexpr int kBits = 1 + exponent + mantissa;
  static constexpr int kMantissa = mantissa;
  static constexpr int kBias = (1 << (exponent - 1)) - 1;
  static constexpr std::int32_t kSign = 1 << (kBits - 1);
  static constexpr std::int32_t kLargest = largest;    ///< code of the largest finite value
  static constexpr std::int32_t kInfinity = infinity;  ///< code; -1 without infinities
  static constexpr std::int32_t kNan = kSign - 1;      ///< code that encoding gives
  static constexpr float kLargestValue =
      __builtin_bit_cast(float, (largest + ((127 - kBias) << mantissa)) << (23 - mantissa));
};
using E4m3 = SmallFormat<4, 3, 0x7e, -1>;
using E5m2 = SmallFormat<5, 2, 0x7b, 0x7c>;
using E5m6 = SmallFormat<5, 6, 0x7bf, 0x7c0>;

/// One lane: float32 values and their bits. kernels/host/simd_fp8.hpp has the vectors.
struct ScalarLanes {
  using Bits = std::int32_t;
  using Real = float;
  MORAY_FUNCTION static Bits bits(Real x) { return __builtin_bit_cast(Bits, x); }
  MORAY_FUNCTION static Real real(Bits x) { return __builtin_bit_cast(Real, x); }
  MORAY_FUNCTION static Real converted(Bits x) { return static_cast<Real>(x); }
  MORAY_FUNCTION static Bits truncated(Real x) { return static_cast<Bits>(x); }
  MORAY_FUNCTION static Bits all(std::int32_t x) { return x; }
};

/// The float32 bits of 2^n, -126 <= n <= 127.
MORAY_FUNCTION constexpr std::int32_t power_bits(int n) {
  return (n + 127) << 23;
}

/// Codes of float32 values; `Lanes` is ScalarLanes or a vector of them.
template <class Format, class Lanes = ScalarLanes>
MORAY_FUNCTION typename Lanes::Bits encode_small(typename Lanes::Real value) {
  using Bits = typename Lanes::Bits;
  constexpr int kDropped = 23 - Format::kMantissa;
  constexpr std::int32_t kRebias = (127 - Format::kBias) << Format::kMantissa;
  constexpr std::int32_t kLargestBits = (Format::kLargest + kRebias) << kDropped;
  constexpr std::int32_t kLeastNormal = power_bits(1 - Format::kBias);
  // In [step 2^23, step 2^24) float32 has the spacing of the subnormals.
  constexpr std::int32_t kAlign = power_bits(1 - Format::kBias - Format::kMantissa + 23);

  const Bits bits = Lanes::bits(value);
  const Bits magnitude = bits & 0x7fffffff;
  const Bits bounded = magnitude < kLargestBits ? magnitude : Lanes::all(kLargestBits);
  const Bits odd = (bounded >> kDropped) & 1;
  const Bits normal = ((bounded + ((1 << (kDropped - 1)) - 1) + odd) >> kDropped) - kRebias;
  const Bits subnormal =
      Lanes::bits(Lanes::real(bounded) + Lanes::real(Lanes::all(kAlign))) - kAlign;
  const Bits code = bounded < kLeastNormal ? subnormal : normal;
  const Bits with_sign = (bits < 0) ? code | Format::kSign : code;
  return magnitude > 0x7f800000 ? Lanes::all(Format::kNan) : with_sign;
}

/// The same for values that are no NaN and round to a finite code.
template <class Format, class Lanes = ScalarLanes>
MORAY_FUNCTION typename Lanes::Bits encode_small_in_range(typename Lanes::Real value) {
  using Bits = typename Lanes::Bits;
  constexpr int kDropped = 23 - Format::kMantissa;
  constexpr std::int32_t kLeastNormal = power_bits(1 - Format::kBias);
  constexpr std::int32_t kAlign = power_bits(1 - Format::kBias - Format::kMantissa + 23);
  // Half a step less one, and the difference of the biases.
  constexpr std::int32_t kAdd = (1 << (kDropped - 1)) - 1 - ((127 - Format::kBias) << 23);

  const Bits bits = Lanes::bits(value);
  const Bits magnitude = bits & 0x7fffffff;
  const Bits normal = (magnitude + ((magnitude >> kDropped & 1) + kAdd)) >> kDropped;
  const Bits subnormal =
      Lanes::bits(Lanes::real(magnitude) + Lanes::real(Lanes::all(kAlign))) - kAlign;
  const Bits code = magnitude < kLeastNormal ? subnormal : normal;
  return code | (bits >> (32 - Format::kBits) & Format::kSign);
}

/// The values of codes.
template <class Format, class Lanes = ScalarLanes>
MORAY_FUNCTION typename Lanes::Real decode_small(typename Lanes::Bits code) {
  using Bits = typename Lanes::Bits;
  constexpr std::int32_t kRebias = (127 - Format::kBias) << 23;
  constexpr int kToSign = 31 - Format::kBits + 1;
  constexpr std::int32_t kStep = power_bits(1 - Format::kBias - Format::kMantissa);

  const Bits magnitude = code & (Format::kSign - 1);
  const Bits normal = (magnitude << (23 - Format::kMantissa)) + kRebias;
  const Bits subnormal = Lanes::bits(Lanes::converted(magnitude) * Lanes::real(Lanes::all(kStep)));
  const Bits finite = magnitude < (1 << Format::kMantissa) ? subnormal : normal;
  const Bits sign = (code & Format::kSign) << kToSign;
  const Bits nan = Lanes::all(0x7fc00000);
  const Bits special = magnitude == Format::kInfinity ? sign | 0x7f800000 : nan;
  return Lanes::real(magnitude > Format::kLargest ? special : finite | sign);
}

MORAY_FUNCTION std::uint8_t e4m3_encode(float value) {
#ifdef MORAY_CUDA_FP8
  return cuda::e4m3_encode(value);
#else
  return static_cast<std::uint8_t>(encode_small<E4m3>(value));
#endif
}
MORAY_FUNCTION float e4m3_decode(std::uint8_t code) {
#ifdef MORAY_CUDA_FP8
  return cuda::e4m3_decode(code);
#else
  return decode_small<E4m3>(code);
#endif
}
MORAY_FUNCTION std::uint8_t e5m2_encode(float value) {
#ifdef MORAY_CUDA_FP8
  return cuda::e5m2_encode(value);
#else
  return static_cast<std::uint8_t>(encode_small<E5m2>(value));
#endif
}
MORAY_FUNCTION float e5m2_decode(std::uint8_t code) {
#ifdef MORAY_CUDA_FP8
  return cuda::e5m2_decode(code);
#else
  return decode_small<E5m2>(code);
#endif
}
/// E5M6 codes are the low 12 bits.
MORAY_FUNCTION std::uint16_t e5m6_encode(float value) {
  return static_cast<std::uint16_t>(encode_small<E5m6>(value));
}
MORAY_FUNCTION float e5m6_decode(std::uint16_t code) {
  return decode_small<E5m6>(code);
}

/// Eight E5M6 codes in three words, the first in the highest bits of the first word.
MORAY_FUNCTION void e5m6_pack(const std::uint32_t* code, std::uint32_t* word) {
  word[0] = code[0] << 20 | code[1] << 8 | code[2] >> 4;
  word[1] = code[2] << 28 | code[3] << 16 | code[4] << 4 | code[5] >> 8;
  word[2] = code[5] << 24 | code[6] << 12 | code[7];
}
MORAY_FUNCTION void e5m6_unpack(const std::uint32_t* word, std::uint32_t* code) {
  code[0] = word[0] >> 20;
  code[1] = word[0] >> 8 & 0xfffU;
  code[2] = (word[0] << 4 | word[1] >> 28) & 0xfffU;
  code[3] = word[1] >> 16 & 0xfffU;
  code[4] = word[1] >> 4 & 0xfffU;
  code[5] = (word[1] << 8 | word[2] >> 24) & 0xfffU;
  code[6] = word[2] >> 12 & 0xfffU;
  code[7] = word[2] & 0xfffU;
}

/// The least power of two >= value, for normal value from 2^-126 to 2^127; NaN beyond.
MORAY_FUNCTION float power_of_two_above(float value) {
  const std::int32_t bits = ScalarLanes::bits(value) & 0x7fffffff;
  return ScalarLanes::real(bits > 0x7f000000 ? 0x7fc00000 : (bits + 0x7fffff) & 0x7f800000);
}

/// The exponent of a power of two from 2^-126 to 2^127, or of a NaN: its bits without the mantissa,
/// exactly. Other values have no code: choose the power first (power_of_two_above).
MORAY_FUNCTION std::uint8_t ue8m0_encode(float power) {
  return static_cast<std::uint8_t>((ScalarLanes::bits(power) >> 23) & 0xff);
}
/// 2^(code - 127), 2^-127 included; 0xff is NaN.
MORAY_FUNCTION float ue8m0_decode(std::uint8_t code) {
  const std::int32_t normal = static_cast<std::int32_t>(code) << 23;
  return ScalarLanes::real(code == 0 ? 0x400000 : code == 0xff ? 0x7fc00000 : normal);
}

}  // namespace MORAY_FUNCTIONS_NAMESPACE
