#pragma once

#include "core/fp8.hpp"
#include "kernels/host/simd.hpp"

/// Small formats for vectors: encode_small and decode_small of core/fp8.hpp on Float, and their
/// codes in memory. `count` may be less than Float::kLanes, as in simd.hpp.
namespace moray::MORAY_ISA {

/// Float::kLanes lanes of a compiler's own vector type, on which integer arithmetic is written once.
struct VectorLanes {
  using Bits [[gnu::vector_size(4 * Float::kLanes)]] = std::int32_t;
  using Real [[gnu::vector_size(4 * Float::kLanes)]] = float;
  MORAY_FUNCTION static Bits bits(Real x) { return reinterpret_cast<Bits>(x); }
  MORAY_FUNCTION static Real real(Bits x) { return reinterpret_cast<Real>(x); }
  MORAY_FUNCTION static Real converted(Bits x) { return __builtin_convertvector(x, Real); }
  MORAY_FUNCTION static Bits truncated(Real x) { return __builtin_convertvector(x, Bits); }
  MORAY_FUNCTION static Bits all(std::int32_t x) { return Bits{} + x; }
};
using Codes = VectorLanes::Bits;

template <class Format>
MORAY_FUNCTION Codes encode_small(Float x) {
  return encode_small<Format, VectorLanes>(reinterpret_cast<VectorLanes::Real>(x.v));
}
template <class Format>
MORAY_FUNCTION Float decode_small(Codes codes) {
  Float x;
  x.v = reinterpret_cast<decltype(x.v)>(decode_small<Format, VectorLanes>(codes));
  return x;
}

/// Codes of one byte each.
MORAY_FUNCTION void store_bytes(std::uint8_t* p, Codes codes, int count = Float::kLanes) {
#if defined(MORAY_ISA_v4)
  _mm_mask_storeu_epi8(p, Float::first(count).m,
                       _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(codes)));
#else
#if defined(MORAY_ISA_v3)
  const __m256i wide = reinterpret_cast<__m256i>(codes);
  const __m128i words =
      _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  const __m128i bytes = _mm_packus_epi16(words, words);
  if (count >= Float::kLanes) return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
#endif
  for (int i = 0; i < Float::kLanes && i < count; ++i) p[i] = static_cast<std::uint8_t>(codes[i]);
#endif
}
/// The codes of `count` bytes, 0 in the other lanes.
MORAY_FUNCTION Codes load_bytes(const std::uint8_t* p, int count = Float::kLanes) {
#if defined(MORAY_ISA_v4)
  return reinterpret_cast<Codes>(
      _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(Float::first(count).m, p)));
#else
#if defined(MORAY_ISA_v3)
  if (count >= Float::kLanes) {
    return reinterpret_cast<Codes>(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
#endif
  Codes codes{};
  for (int i = 0; i < Float::kLanes && i < count; ++i) codes[i] = p[i];
  return codes;
#endif
}

/// E5M6 codes, eight in three words of 32 bits; the last group is filled with +0.
MORAY_FUNCTION void store_e5m6(std::uint8_t* p, Codes codes, int count = Float::kLanes) {
  std::uint32_t code[Float::kLanes];
  __builtin_memcpy(code, &codes, sizeof(code));
  for (int i = count; i < Float::kLanes; ++i) code[i] = 0;
  for (int i = 0; i < Float::kLanes && i < count; i += 8) {
    std::uint32_t word[3];
    e5m6_pack(code + i, word);
    __builtin_memcpy(p + i / 8 * 12, word, sizeof(word));
  }
}
MORAY_FUNCTION Codes load_e5m6(const std::uint8_t* p, int count = Float::kLanes) {
  std::uint32_t code[Float::kLanes] = {};
  for (int i = 0; i < Float::kLanes && i < count; i += 8) {
    std::uint32_t word[3];
    __builtin_memcpy(word, p + i / 8 * 12, sizeof(word));
    e5m6_unpack(word, code + i);
  }
  Codes codes;
  __builtin_memcpy(&codes, code, sizeof(code));
  return codes;
}

}  // namespace moray::MORAY_ISA
