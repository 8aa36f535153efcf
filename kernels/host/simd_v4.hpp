#pragma once

#include <cstdint>

#include "kernels/functions/polynomials.hpp"
#include "kernels/host/intrinsics.hpp"

/// AVX-512: 16 float32 or 8 float64 a vector. simd.hpp describes the operations.
namespace moray::MORAY_ISA {

struct Mask {
  __mmask16 m;
};

struct Float {
  using Scalar = float;
  static constexpr int kLanes = 16;
  __m512 v;

  MORAY_FUNCTION static Mask first(int count) {
    return {static_cast<__mmask16>(count >= kLanes ? 0xffffu : (1u << count) - 1u)};
  }
  MORAY_FUNCTION static Float broadcast(float x) { return {_mm512_set1_ps(x)}; }
  MORAY_FUNCTION static Float zero() { return {_mm512_setzero_ps()}; }
  MORAY_FUNCTION static Float load(const float* p) { return {_mm512_loadu_ps(p)}; }
  MORAY_FUNCTION static Float load(const float* p, int count) {
    if (count >= kLanes) return load(p);
    return {_mm512_maskz_loadu_ps(first(count).m, p)};
  }
  MORAY_FUNCTION void store(float* p) const { _mm512_storeu_ps(p, v); }
  MORAY_FUNCTION void store(float* p, int count) const {
    if (count >= kLanes) return store(p);
    _mm512_mask_storeu_ps(p, first(count).m, v);
  }
};

MORAY_FUNCTION Float operator+(Float a, Float b) {
  return {_mm512_add_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator-(Float a, Float b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator*(Float a, Float b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator/(Float a, Float b) {
  return {_mm512_div_ps(a.v, b.v)};
}
MORAY_FUNCTION Float operator-(Float a) {
  const __m512i sign = _mm512_set1_epi32(INT32_MIN);
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), sign))};
}
MORAY_FUNCTION Float absolute(Float a) {
  return {_mm512_abs_ps(a.v)};
}
MORAY_FUNCTION Float fma(Float a, Float b, Float c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
MORAY_FUNCTION Float square_root(Float a) {
  return {_mm512_sqrt_ps(a.v)};
}
MORAY_FUNCTION Float max(Float a, Float b) {
  return {_mm512_max_ps(a.v, b.v)};
}
MORAY_FUNCTION Float min(Float a, Float b) {
  return {_mm512_min_ps(a.v, b.v)};
}
MORAY_FUNCTION Mask less(Float a, Float b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
MORAY_FUNCTION Mask equal(Float a, Float b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
MORAY_FUNCTION Float select(Mask m, Float a, Float b) {
  return {_mm512_mask_blend_ps(m.m, b.v, a.v)};
}

struct Double {
  using Scalar = double;
  static constexpr int kLanes = 8;
  __m512d v;

  MORAY_FUNCTION static Mask first(int count) {
    return {static_cast<__mmask16>(count >= kLanes ? 0xffu : (1u << count) - 1u)};
  }
  MORAY_FUNCTION static Double broadcast(double x) { return {_mm512_set1_pd(x)}; }
  MORAY_FUNCTION static Double zero() { return {_mm512_setzero_pd()}; }
  MORAY_FUNCTION static Double load(const double* p) { return {_mm512_loadu_pd(p)}; }
  MORAY_FUNCTION static Double load(const double* p, int count) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>(first(count).m), p)};
  }
  MORAY_FUNCTION static Double load(const float* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(p))};
  }
  MORAY_FUNCTION static Double load(const float* p, int count) {
    return {_mm512_cvtps_pd(_mm256_maskz_loadu_ps(static_cast<__mmask8>(first(count).m), p))};
  }
  MORAY_FUNCTION void store(double* p) const { _mm512_storeu_pd(p, v); }
};

MORAY_FUNCTION Double operator+(Double a, Double b) {
  return {_mm512_add_pd(a.v, b.v)};
}
MORAY_FUNCTION Double operator-(Double a, Double b) {
  return {_mm512_sub_pd(a.v, b.v)};
}
MORAY_FUNCTION Double operator*(Double a, Double b) {
  return {_mm512_mul_pd(a.v, b.v)};
}
MORAY_FUNCTION Double fma(Double a, Double b, Double c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
/// c - a b with one rounding.
MORAY_FUNCTION Double negated_fma(Double a, Double b, Double c) {
  return {_mm512_fnmadd_pd(a.v, b.v, c.v)};
}
MORAY_FUNCTION Double select(Mask m, Double a, Double b) {
  return {_mm512_mask_blend_pd(static_cast<__mmask8>(m.m), b.v, a.v)};
}
/// x 2^n, where `shifted` is kRound + n and the result is a normal float64.
MORAY_FUNCTION Double scale_by_power(Double x, Double shifted) {
  const __m512i n = _mm512_slli_epi64(_mm512_castpd_si512(shifted.v), 52);
  return {_mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(x.v), n))};
}

MORAY_FUNCTION Double low_half(Float x) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(x.v))};
}
MORAY_FUNCTION Double high_half(Float x) {
  return {_mm512_cvtps_pd(_mm512_extractf32x8_ps(x.v, 1))};
}
MORAY_FUNCTION Float join(Double low, Double high) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low.v)),
                             _mm512_cvtpd_ps(high.v), 1)};
}

/// Folds of four lanes i += i + 2, i + 1, the end of every row reduction.
MORAY_FUNCTION float fold_quarter(__m128 x) {
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  x = _mm_add_ss(x, _mm_shuffle_ps(x, x, 1));
  return _mm_cvtss_f32(x);
}
MORAY_FUNCTION float fold_lanes(const Float* chain) {
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(chain[0].v), _mm512_extractf32x8_ps(chain[0].v, 1));
  return fold_quarter(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
}
MORAY_FUNCTION double fold_lanes(const Double* chain) {
  const __m512d eight = _mm512_add_pd(chain[0].v, chain[1].v);
  const __m256d four =
      _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/// The bf16 number nearest to x, by integer arithmetic: to even, denormals kept, NaN made quiet.
MORAY_FUNCTION Float to_nearest_bf16(Float x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m512i rounded = _mm512_mask_blend_epi32(nan, up, quiet);
  return {_mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32(-0x10000)))};
}
MORAY_FUNCTION void store_bf16(std::uint16_t* p, Float x, int count = Float::kLanes) {
  const __m512i codes = _mm512_srli_epi32(_mm512_castps_si512(to_nearest_bf16(x).v), 16);
  _mm256_mask_storeu_epi16(p, Float::first(count).m, _mm512_cvtepi32_epi16(codes));
}
MORAY_FUNCTION Float load_bf16(const std::uint16_t* p, int count = Float::kLanes) {
  const __m256i half = _mm256_maskz_loadu_epi16(Float::first(count).m, p);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}

}  // namespace moray::MORAY_ISA
