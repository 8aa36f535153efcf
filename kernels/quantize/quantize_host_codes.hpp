#pragma once

#include "kernels/host/simd_fp8.hpp"
#include "kernels/host/vector_loop.hpp"
#include "kernels/quantize/quantize_rule.hpp"

/// What the micro-kernels of quantisation share.
namespace moray::MORAY_ISA {

/// Vectors of 128 values.
constexpr int kBlockVectors = static_cast<int>(kScaleBlock) / Float::kLanes;

/// Codes of `Format` in memory: code i of a row at offset(i) for i a multiple of 8.
template <class Format>
struct CodeMemory {
  static constexpr std::int64_t offset(std::int64_t i) { return i; }
  MORAY_FUNCTION static void store(std::uint8_t* p, Codes codes, int count) {
    store_bytes(p, codes, count);
  }
  MORAY_FUNCTION static Codes load(const std::uint8_t* p, int count) {
    return load_bytes(p, count);
  }
};
template <>
struct CodeMemory<E5m6> {
  static constexpr std::int64_t offset(std::int64_t i) { return i / 8 * 12; }
  MORAY_FUNCTION static void store(std::uint8_t* p, Codes codes, int count) {
    store_e5m6(p, codes, count);
  }
  MORAY_FUNCTION static Codes load(const std::uint8_t* p, int count) { return load_e5m6(p, count); }
};

/// Calls body(Format()) for the code type.
template <class Body>
MORAY_FUNCTION void with_format(CodeType type, const Body& body) {
  switch (type) {
    case CodeType::e4m3:
      return body(E4m3());
    case CodeType::e5m2:
      return body(E5m2());
    case CodeType::e5m6:
      return body(E5m6());
  }
}
/// The same for the types whose codes are bytes.
template <class Body>
MORAY_FUNCTION void with_byte_format(CodeType type, const Body& body) {
  if (type == CodeType::e4m3) return body(E4m3());
  body(E5m2());
}

/// Calls body(encode), encode(Float) giving codes of a block or of several: where no scale is NaN, their
/// values are in the range of the codes, and a shorter encoding serves.
template <class Format, class Body>
MORAY_FUNCTION void with_encoder(bool in_range, const Body& body) {
  if (in_range) {
    body([](Float x) __attribute__((always_inline)) { return encode_small_in_range<Format>(x); });
  } else {
    body([](Float x) __attribute__((always_inline)) { return encode_small<Format>(x); });
  }
}
MORAY_FUNCTION bool is_number(float scale) {
  return scale == scale;
}

/// The bits of |x|: as integers they order NaN above infinity above numbers.
MORAY_FUNCTION Codes magnitude_bits(Float x) {
  return reinterpret_cast<Codes>(x.v) & 0x7fffffff;
}
MORAY_FUNCTION Codes larger(Codes a, Codes b) {
  return a > b ? a : b;
}
MORAY_FUNCTION std::int32_t largest_lane(Codes codes) {
#if defined(MORAY_ISA_v4)
  return _mm512_reduce_max_epi32(reinterpret_cast<__m512i>(codes));
#elif defined(MORAY_ISA_v3)
  const __m256i eight = reinterpret_cast<__m256i>(codes);
  __m128i x = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
#else
  std::int32_t best = codes[0];
  for (int i = 1; i < Float::kLanes; ++i) best = codes[i] > best ? codes[i] : best;
  return best;
#endif
}

}  // namespace moray::MORAY_ISA
