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
MORAY_FUNCTION Codes encode_small_in_range(Float x) {
  return encode_small_in_range<Format, VectorLanes>(reinterpret_cast<VectorLanes::Real>(x.v));
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

/// E5M6 codes, eight in three words of 32 bits; the last group is filled with +0. Code i of a group is
/// bits 12 i to 12 i + 11 of its words, counted from the highest bit of the first one.
namespace e5m6 {
#if defined(MORAY_ISA_v4)
#define MORAY_GROUPS(a, b, c, d, e, f, g, h, next)                                              \
  a, b, c, d, e, f, g, h, (a) + (next), (b) + (next), (c) + (next), (d) + (next), (e) + (next), \
      (f) + (next), (g) + (next), (h) + (next)
#define MORAY_WORDS(a, b, c) a, b, c, 8 + (a), 8 + (b), 8 + (c), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define MORAY_TWICE(a, b, c) a, b, c, a, b, c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#else
#define MORAY_GROUPS(a, b, c, d, e, f, g, h, next) a, b, c, d, e, f, g, h
#define MORAY_WORDS(a, b, c) a, b, c, 0, 0, 0, 0, 0
#define MORAY_TWICE(a, b, c) a, b, c, 0, 0, 0, 0, 0
#endif
using Words [[gnu::vector_size(4 * Float::kLanes)]] = std::uint32_t;

/// The codes of words in the first lanes, three a group.
MORAY_FUNCTION Codes unpacked(Words w) {
  // The word that a code begins in, the one behind it, and the bits before the code.
  constexpr Words kBefore = {MORAY_GROUPS(0, 12, 24, 4, 16, 28, 8, 20, 0)};
  const Words begin = __builtin_shufflevector(w, w, MORAY_GROUPS(0, 0, 0, 1, 1, 1, 2, 2, 3));
  const Words behind = __builtin_shufflevector(w, w, MORAY_GROUPS(1, 1, 1, 2, 2, 2, 3, 3, 3));
  return reinterpret_cast<Codes>((begin << kBefore | behind >> 1 >> (31 - kBefore)) >> 20);
}
/// The words of codes, in the first lanes.
MORAY_FUNCTION Words packed(Codes codes) {
  const Words h = reinterpret_cast<Words>(codes);
  // w0 = h0 << 20 | h1 << 8  | h2 >> 4
  // w1 = h3 << 16 | h4 << 4  | h5 >> 8 | h2 << 28
  // w2 = h6 << 12 | h7       |           h5 << 24
  constexpr Words kFirst = {MORAY_TWICE(20, 16, 12)}, kSecond = {MORAY_TWICE(8, 4, 0)};
  constexpr Words kThird = {MORAY_TWICE(4, 8, 0)}, kFourth = {MORAY_TWICE(0, 28, 24)};
  constexpr int kNone = Float::kLanes;  // a lane of the vector of zeros
  const Words first = __builtin_shufflevector(h, h, MORAY_WORDS(0, 3, 6));
  const Words second = __builtin_shufflevector(h, h, MORAY_WORDS(1, 4, 7));
  const Words third = __builtin_shufflevector(h, Words{}, MORAY_WORDS(2, 5, kNone));
  const Words fourth = __builtin_shufflevector(h, Words{}, MORAY_WORDS(kNone, 2, 5));
  return first << kFirst | second << kSecond | third >> kThird | fourth << kFourth;
}
#undef MORAY_GROUPS
#undef MORAY_WORDS
#undef MORAY_TWICE
/// Words of the first `count` codes.
MORAY_FUNCTION int words_of(int count) {
  return count > 8 && Float::kLanes > 8 ? 6 : count > 0 ? 3 : 0;
}
}  // namespace e5m6

MORAY_FUNCTION void store_e5m6(std::uint8_t* p, Codes codes, int count = Float::kLanes) {
#if defined(MORAY_ISA_v4)
  const auto kept = _mm512_maskz_mov_epi32(Float::first(count).m, reinterpret_cast<__m512i>(codes));
  const auto words = static_cast<__mmask16>((1U << e5m6::words_of(count)) - 1U);
  _mm512_mask_storeu_epi32(p, words,
                           reinterpret_cast<__m512i>(e5m6::packed(reinterpret_cast<Codes>(kept))));
#else
  for (int i = 0; i < Float::kLanes; ++i) codes[i] = i < count ? codes[i] : 0;
  const e5m6::Words words = e5m6::packed(codes);
  __builtin_memcpy(p, &words, static_cast<unsigned long>(4 * e5m6::words_of(count)));
#endif
}
MORAY_FUNCTION Codes load_e5m6(const std::uint8_t* p, int count = Float::kLanes) {
#if defined(MORAY_ISA_v4)
  const auto words = static_cast<__mmask16>((1U << e5m6::words_of(count)) - 1U);
  return e5m6::unpacked(reinterpret_cast<e5m6::Words>(_mm512_maskz_loadu_epi32(words, p)));
#elif defined(MORAY_ISA_v3)
  if (count <= 0) return Codes{};
  std::int32_t third;
  __builtin_memcpy(&third, p + 8, sizeof(third));
  const __m128i three =
      _mm_insert_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), third, 2);
  return e5m6::unpacked(reinterpret_cast<e5m6::Words>(_mm256_castsi128_si256(three)));
#else
  e5m6::Words words{};
  __builtin_memcpy(&words, p, static_cast<unsigned long>(4 * e5m6::words_of(count)));
  return e5m6::unpacked(words);
#endif
}

}  // namespace moray::MORAY_ISA
