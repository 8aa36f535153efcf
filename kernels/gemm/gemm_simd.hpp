#pragma once

/// The vector of float32 of the instruction set that a host file is compiled for. Everything is
/// inlined or local: nothing of this header becomes a symbol.

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MORAY_INLINE static inline __attribute__((always_inline))

namespace moray::MORAY_ISA {
namespace {

#if defined(MORAY_ISA_v4)

using vec = __m512;
constexpr int kLanes = 16;
MORAY_INLINE vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
MORAY_INLINE void store(float* p, vec x) {
  _mm512_storeu_ps(p, x);
}
MORAY_INLINE vec load_first(const float* p, int n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
}
MORAY_INLINE void store_first(float* p, int n, vec x) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), x);
}
MORAY_INLINE vec broadcast(const float* p) {
  return _mm512_set1_ps(*p);
}
MORAY_INLINE vec zero() {
  return _mm512_setzero_ps();
}
MORAY_INLINE vec add(vec a, vec b) {
  return _mm512_add_ps(a, b);
}
MORAY_INLINE vec fma(vec a, vec b, vec c) {
  return _mm512_fmadd_ps(a, b, c);
}

#elif defined(MORAY_ISA_v3)

using vec = __m256;
constexpr int kLanes = 8;
MORAY_INLINE vec load(const float* p) {
  return _mm256_loadu_ps(p);
}
MORAY_INLINE void store(float* p, vec x) {
  _mm256_storeu_ps(p, x);
}
MORAY_INLINE __m256i first(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MORAY_INLINE vec load_first(const float* p, int n) {
  return _mm256_maskload_ps(p, first(n));
}
MORAY_INLINE void store_first(float* p, int n, vec x) {
  _mm256_maskstore_ps(p, first(n), x);
}
MORAY_INLINE vec broadcast(const float* p) {
  return _mm256_broadcast_ss(p);
}
MORAY_INLINE vec zero() {
  return _mm256_setzero_ps();
}
MORAY_INLINE vec add(vec a, vec b) {
  return _mm256_add_ps(a, b);
}
MORAY_INLINE vec fma(vec a, vec b, vec c) {
  return _mm256_fmadd_ps(a, b, c);
}

#else

/// Off x86: four lanes that the compiler maps to its registers.
struct vec {
  float lane[4];
};
constexpr int kLanes = 4;
MORAY_INLINE vec load_first(const float* p, int n) {
  vec x = {};
  for (int i = 0; i < n; ++i) x.lane[i] = p[i];
  return x;
}
MORAY_INLINE void store_first(float* p, int n, vec x) {
  for (int i = 0; i < n; ++i) p[i] = x.lane[i];
}
MORAY_INLINE vec load(const float* p) {
  return load_first(p, kLanes);
}
MORAY_INLINE void store(float* p, vec x) {
  store_first(p, kLanes, x);
}
MORAY_INLINE vec broadcast(const float* p) {
  return {{*p, *p, *p, *p}};
}
MORAY_INLINE vec zero() {
  return {};
}
MORAY_INLINE vec add(vec a, vec b) {
  for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
  return a;
}
MORAY_INLINE vec fma(vec a, vec b, vec c) {
  for (int i = 0; i < kLanes; ++i) c.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
  return c;
}

#endif

}  // namespace
}  // namespace moray::MORAY_ISA
