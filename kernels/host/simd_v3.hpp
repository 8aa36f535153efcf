#pragma once

#include <cstdint>

#include "kernels/functions/polynomials.hpp"
#include "kernels/host/intrinsics.hpp"

/// AVX2 with FMA: 8 float32 or 4 float64 a vector. simd.hpp describes the operations.
namespace moray::MORAY_ISA {

struct Mask {
  __m256 m;  // all bits of a lane set or clear
};

struct Float {
  using Scalar = float;
  static constexpr int kLanes = 8;
  __m256 v;

  MORAY_FUNCTION static Mask first(int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane))};
  }
  MORAY_FUNCTION static Float broadcast(float x) { return {_mm256_set1_ps(x)}; }
  MORAY_FUNCTION static Float zero() { return {_mm256_setzero_ps()}; }
  MORAY_FUNCTION static Float load(const float* p) { return {_mm256_loadu_ps(p)}; }
  MORAY_FUNCTION static Float load(const float* p, int count) {
    if (count >= kLanes) return load(p);
    return {_mm256_maskload_ps(p, _mm256_castps_si256(first(count).m))};
  }
  MORAY_FUNCTION void store(float* p) const { _mm256_storeu_ps(p, v); }
  MORAY_FUNCTION void store(float* p, int count) const {
    if (count >= kLanes) return store(p);
    _mm256_maskstore_ps(p, _mm256_castps_si256(first(count).m), v);
  }
};

MORAY_FUNCTION Float operator+(Float a, Float b) {
  return {_mm256_add_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator-(Float a, Float b) {
  return {_mm256_sub_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator*(Float a, Float b) {
  return {_mm256_mul_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator/(Float a, Float b) {
  return {_mm256_div_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator-(Float a) {
  return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))};
}
MORAY_FUNCTION Float absolute(Float a) {
  return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)};
}
MORAY_FUNCTION Float fma(Float a, Float b, Float c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
MORAY_FUNCTION Float square_root(Float a) {
  return {_mm256_sqrt_ps(a.v)};
}
MORAY_FUNCTION Float max(Float a, Float b) {
  return {_mm256_max_ps(a.v, b.v)};
}
MORAY_FUNCTION Float min(Float a, Float b) {
  return {_mm256_min_ps(a.v, b.v)};
}
MORAY_FUNCTION Mask less(Float a, Float b) {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)};
}
MORAY_FUNCTION Mask equal(Float a, Float b) {
  return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)};
}
MORAY_FUNCTION Float select(Mask m, Float a, Float b) {
  return {_mm256_blendv_ps(b.v, a.v, m.m)};
}

struct DoubleMask {
  __m256d m;
};

struct Double {
  using Scalar = double;
  static constexpr int kLanes = 4;
  __m256d v;

  MORAY_FUNCTION static DoubleMask first(int count) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return {_mm256_castsi256_pd(_mm256_cmpgt_epi64(_mm256_set1_epi64x(count), lane))};
  }
  MORAY_FUNCTION static Double broadcast(double x) { return {_mm256_set1_pd(x)}; }
  MORAY_FUNCTION static Double zero() { return {_mm256_setzero_pd()}; }
  MORAY_FUNCTION static Double load(const double* p) { return {_mm256_loadu_pd(p)}; }
  MORAY_FUNCTION static Double load(const double* p, int count) {
    if (count >= kLanes) return load(p);
    return {_mm256_maskload_pd(p, _mm256_castpd_si256(first(count).m))};
  }
  MORAY_FUNCTION static Double load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  MORAY_FUNCTION static Double load(const float* p, int count) {
    if (count >= kLanes) return load(p);
    const __m128i wanted = _mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3));
    return {_mm256_cvtps_pd(_mm_maskload_ps(p, wanted))};
  }
  MORAY_FUNCTION void store(double* p) const { _mm256_storeu_pd(p, v); }
};

MORAY_FUNCTION Double operator+(Double a, Double b) {
  return {_mm256_add_pd(a.v, b.v)};
}
MORAY_FUNCTION Double operator-(Double a, Double b) {
  return {_mm256_sub_pd(a.v, b.v)};
}
MORAY_FUNCTION Double operator*(Double a, Double b) {
  return {_mm256_mul_pd(a.v, b.v)};
}
MORAY_FUNCTION Double fma(Double a, Double b, Double c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
/// c - a b with one rounding.
MORAY_FUNCTION Double negated_fma(Double a, Double b, Double c) {
  return {_mm256_fnmadd_pd(a.v, b.v, c.v)};
}
MORAY_FUNCTION Double select(DoubleMask m, Double a, Double b) {
  return {_mm256_blendv_pd(b.v, a.v, m.m)};
}
/// x 2^n, where `shifted` is kRound + n and the result is a normal float64.
MORAY_FUNCTION Double scale_by_power(Double x, Double shifted) {
  const __m256i n = _mm256_slli_epi64(_mm256_castpd_si256(shifted.v), 52);
  return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x.v), n))};
}

MORAY_FUNCTION Double low_half(Float x) {
  return {_mm256_cvtps_pd(_mm256_castps256_ps128(x.v))};
}
MORAY_FUNCTION Double high_half(Float x) {
  return {_mm256_cvtps_pd(_mm256_extractf128_ps(x.v, 1))};
}
MORAY_FUNCTION Float join(Double low, Double high) {
  return {_mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low.v)),
                               _mm256_cvtpd_ps(high.v), 1)};
}

/// The sum of 16 chains, folded by i += i + 8, i + 4, i + 2, i + 1.
MORAY_FUNCTION float fold_lanes(const Float* chain) {
  const __m256 eight = _mm256_add_ps(chain[0].v, chain[1].v);
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
MORAY_FUNCTION double fold_lanes(const Double* chain) {
  const __m256d low = _mm256_add_pd(chain[0].v, chain[2].v);
  const __m256d high = _mm256_add_pd(chain[1].v, chain[3].v);
  const __m256d four = _mm256_add_pd(low, high);
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/// The bf16 number nearest to x, by integer arithmetic: to even, denormals kept, NaN made quiet.
MORAY_FUNCTION Float to_nearest_bf16(Float x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  const __m256i rounded = _mm256_blendv_epi8(up, quiet, nan);
  return {_mm256_castsi256_ps(_mm256_and_si256(rounded, _mm256_set1_epi32(-0x10000)))};
}
MORAY_FUNCTION void store_bf16(std::uint16_t* p, Float x, int count = Float::kLanes) {
  const __m256i bits = _mm256_srli_epi32(_mm256_castps_si256(to_nearest_bf16(x).v), 16);
  const __m128i packed =
      _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  if (count >= Float::kLanes) return _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
  alignas(16) std::uint16_t lane[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(lane), packed);
  for (int i = 0; i < count; ++i) p[i] = lane[i];
}
MORAY_FUNCTION Float load_bf16(const std::uint16_t* p, int count = Float::kLanes) {
  __m128i half;
  if (count >= Float::kLanes) {
    half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  } else {
    alignas(16) std::uint16_t lane[8] = {};
    for (int i = 0; i < count; ++i) lane[i] = p[i];
    half = _mm_load_si128(reinterpret_cast<const __m128i*>(lane));
  }
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
}

}  // namespace moray::MORAY_ISA
