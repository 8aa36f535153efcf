#pragma once

#include <cstdint>

#include "kernels/functions/polynomials.hpp"

/// Any processor with IEEE arithmetic (Armv8 and on): vector types of g++ and clang, which become
/// whatever registers there are. simd.hpp describes the operations.
namespace moray::MORAY_ISA {

using FloatLanes [[gnu::vector_size(32)]] = float;
using IntLanes [[gnu::vector_size(32)]] = std::int32_t;
using HalfFloatLanes [[gnu::vector_size(16)]] = float;
using DoubleLanes [[gnu::vector_size(32)]] = double;
using LongLanes [[gnu::vector_size(32)]] = std::int64_t;

/// All bits of a lane set or clear.
template <class Lanes>
struct LaneMask {
  Lanes m;
};

/// What Float and Double have in common.
template <class Self, class T, class Native_, class MaskLanes>
struct Vec {
  using Scalar = T;
  using Native = Native_;
  using Mask = LaneMask<MaskLanes>;
  static constexpr int kLanes = sizeof(Native) / sizeof(T);
  Native v;

  MORAY_FUNCTION static Mask first(int count) {
    Mask mask = {};
    for (int i = 0; i < kLanes; ++i) mask.m[i] = i < count ? -1 : 0;
    return mask;
  }
  MORAY_FUNCTION static Self broadcast(T x) {
    Self result;
    for (int i = 0; i < kLanes; ++i) result.v[i] = x;
    return result;
  }
  MORAY_FUNCTION static Self zero() { return broadcast(0); }
  template <class From>
  MORAY_FUNCTION static Self load(const From* p, int count = kLanes) {
    Self result;
    if (count >= kLanes) {
      for (int i = 0; i < kLanes; ++i) result.v[i] = static_cast<T>(p[i]);
    } else {
      for (int i = 0; i < kLanes; ++i) result.v[i] = i < count ? static_cast<T>(p[i]) : T(0);
    }
    return result;
  }
  MORAY_FUNCTION void store(T* p) const { __builtin_memcpy(p, &v, sizeof(v)); }
  MORAY_FUNCTION void store(T* p, int count) const {
    if (count >= kLanes) return store(p);
    for (int i = 0; i < count; ++i) p[i] = v[i];
  }

  MORAY_FUNCTION friend Self operator+(Self a, Self b) { return {{a.v + b.v}}; }
  MORAY_FUNCTION friend Self operator-(Self a, Self b) { return {{a.v - b.v}}; }
  MORAY_FUNCTION friend Self operator*(Self a, Self b) { return {{a.v * b.v}}; }
  MORAY_FUNCTION friend Self operator/(Self a, Self b) { return {{a.v / b.v}}; }
  MORAY_FUNCTION friend Self operator-(Self a) { return {{-a.v}}; }
  MORAY_FUNCTION friend Self fma(Self a, Self b, Self c) {
    Self result;
    for (int i = 0; i < kLanes; ++i) result.v[i] = fused(T(a.v[i]), T(b.v[i]), T(c.v[i]));
    return result;
  }
  /// c - a b with one rounding.
  MORAY_FUNCTION friend Self negated_fma(Self a, Self b, Self c) { return fma(-a, b, c); }
  MORAY_FUNCTION friend Self select(Mask m, Self a, Self b) { return {{m.m ? a.v : b.v}}; }
};

struct Float : Vec<Float, float, FloatLanes, IntLanes> {};
struct Double : Vec<Double, double, DoubleLanes, LongLanes> {};
using Mask = Float::Mask;

MORAY_FUNCTION Float absolute(Float a) {
  return {{reinterpret_cast<FloatLanes>(reinterpret_cast<IntLanes>(a.v) & 0x7fffffff)}};
}
MORAY_FUNCTION Float square_root(Float a) {
  Float result;
  for (int i = 0; i < Float::kLanes; ++i) result.v[i] = __builtin_sqrtf(a.v[i]);
  return result;
}
MORAY_FUNCTION Float max(Float a, Float b) {
  return {{a.v > b.v ? a.v : b.v}};
}
MORAY_FUNCTION Float min(Float a, Float b) {
  return {{a.v < b.v ? a.v : b.v}};
}
MORAY_FUNCTION Mask less(Float a, Float b) {
  return {a.v < b.v};
}
MORAY_FUNCTION Mask equal(Float a, Float b) {
  return {a.v == b.v};
}

/// x 2^n, where `shifted` is kRound + n and the result is a normal float64.
MORAY_FUNCTION Double scale_by_power(Double x, Double shifted) {
  using Bits [[gnu::vector_size(32)]] = std::uint64_t;
  const Bits sum = reinterpret_cast<Bits>(x.v) + (reinterpret_cast<Bits>(shifted.v) << 52);
  return {{reinterpret_cast<DoubleLanes>(sum)}};
}
MORAY_FUNCTION Double low_half(Float x) {
  const HalfFloatLanes half = {x.v[0], x.v[1], x.v[2], x.v[3]};
  return {{__builtin_convertvector(half, DoubleLanes)}};
}
MORAY_FUNCTION Double high_half(Float x) {
  const HalfFloatLanes half = {x.v[4], x.v[5], x.v[6], x.v[7]};
  return {{__builtin_convertvector(half, DoubleLanes)}};
}
MORAY_FUNCTION Float join(Double low, Double high) {
  const HalfFloatLanes a = __builtin_convertvector(low.v, HalfFloatLanes);
  const HalfFloatLanes b = __builtin_convertvector(high.v, HalfFloatLanes);
  return {{FloatLanes{a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]}}};
}

/// The sum of 16 chains, folded by i += i + 8, i + 4, i + 2, i + 1.
template <class V>
MORAY_FUNCTION typename V::Scalar fold_lanes(const V* chain) {
  typename V::Scalar sum[16];
  for (int part = 0; part < 16 / V::kLanes; ++part) chain[part].store(sum + part * V::kLanes);
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) sum[i] = sum[i] + sum[i + width];
  }
  return sum[0];
}

/// The bf16 number nearest to x, by integer arithmetic: to even, denormals kept, NaN made quiet.
MORAY_FUNCTION Float to_nearest_bf16(Float x) {
  for (int i = 0; i < Float::kLanes; ++i) {
    const std::uint32_t bits = float_bits(x.v[i]);
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    x.v[i] = float_of(rounded & 0xffff0000u);
  }
  return x;
}
MORAY_FUNCTION void store_bf16(std::uint16_t* p, Float x, int count = Float::kLanes) {
  const Float rounded = to_nearest_bf16(x);
  for (int i = 0; i < Float::kLanes && i < count; ++i) {
    p[i] = static_cast<std::uint16_t>(float_bits(rounded.v[i]) >> 16);
  }
}
MORAY_FUNCTION Float load_bf16(const std::uint16_t* p, int count = Float::kLanes) {
  Float result;
  for (int i = 0; i < Float::kLanes; ++i) {
    result.v[i] = i < count ? float_of(static_cast<std::uint32_t>(p[i]) << 16) : 0.0f;
  }
  return result;
}

}  // namespace moray::MORAY_ISA
