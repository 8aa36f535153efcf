#pragma once

#include <cstdint>

#include "kernels/functions/polynomials.hpp"

/// Any processor with IEEE arithmetic (Armv8 and on): loops over 8 lanes that the compiler turns
/// into what vectors it has. simd.hpp describes the operations.
namespace moray::MORAY_ISA {

/// `Lanes` values of T and the loop over them.
template <class T, int Lanes>
struct Array {
  T v[Lanes];
};
template <class Result, class Op>
MORAY_FUNCTION Result each_lane(const Op& op) {
  Result result;
  for (int i = 0; i < Result::kLanes; ++i) result.v[i] = op(i);
  return result;
}

template <int Lanes>
struct LaneMask : Array<bool, Lanes> {
  static constexpr int kLanes = Lanes;
};

template <class Self, class T, int Lanes>
struct Vec : Array<T, Lanes> {
  using Scalar = T;
  static constexpr int kLanes = Lanes;

  MORAY_FUNCTION static LaneMask<Lanes> first(int count) {
    return each_lane<LaneMask<Lanes>>([=](int i) { return i < count; });
  }
  MORAY_FUNCTION static Self broadcast(T x) {
    return each_lane<Self>([=](int) { return x; });
  }
  MORAY_FUNCTION static Self zero() { return broadcast(0); }
  template <class From>
  MORAY_FUNCTION static Self load(const From* p) {
    return each_lane<Self>([=](int i) { return static_cast<T>(p[i]); });
  }
  template <class From>
  MORAY_FUNCTION static Self load(const From* p, int count) {
    return each_lane<Self>([=](int i) { return i < count ? static_cast<T>(p[i]) : T(0); });
  }
  MORAY_FUNCTION void store(T* p) const {
    for (int i = 0; i < Lanes; ++i) p[i] = this->v[i];
  }
  MORAY_FUNCTION void store(T* p, int count) const {
    for (int i = 0; i < Lanes && i < count; ++i) p[i] = this->v[i];
  }

  MORAY_FUNCTION friend Self operator+(Self a, Self b) {
    return each_lane<Self>([&](int i) { return a.v[i] + b.v[i]; });
  }
  MORAY_FUNCTION friend Self operator-(Self a, Self b) {
    return each_lane<Self>([&](int i) { return a.v[i] - b.v[i]; });
  }
  MORAY_FUNCTION friend Self operator*(Self a, Self b) {
    return each_lane<Self>([&](int i) { return a.v[i] * b.v[i]; });
  }
  MORAY_FUNCTION friend Self operator/(Self a, Self b) {
    return each_lane<Self>([&](int i) { return a.v[i] / b.v[i]; });
  }
  MORAY_FUNCTION friend Self operator-(Self a) {
    return each_lane<Self>([&](int i) { return -a.v[i]; });
  }
  MORAY_FUNCTION friend Self fma(Self a, Self b, Self c) {
    return each_lane<Self>([&](int i) { return fused(a.v[i], b.v[i], c.v[i]); });
  }
  /// c - a b with one rounding.
  MORAY_FUNCTION friend Self negated_fma(Self a, Self b, Self c) {
    return each_lane<Self>([&](int i) { return fused(-a.v[i], b.v[i], c.v[i]); });
  }
  MORAY_FUNCTION friend Self select(LaneMask<Lanes> m, Self a, Self b) {
    return each_lane<Self>([&](int i) { return m.v[i] ? a.v[i] : b.v[i]; });
  }
};

struct Float : Vec<Float, float, 8> {};
struct Double : Vec<Double, double, 4> {};
using Mask = LaneMask<Float::kLanes>;

MORAY_FUNCTION Float absolute(Float a) {
  return each_lane<Float>([&](int i) { return __builtin_fabsf(a.v[i]); });
}
MORAY_FUNCTION Float square_root(Float a) {
  return each_lane<Float>([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
MORAY_FUNCTION Float max(Float a, Float b) {
  return each_lane<Float>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
MORAY_FUNCTION Float min(Float a, Float b) {
  return each_lane<Float>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
MORAY_FUNCTION Mask less(Float a, Float b) {
  return each_lane<Mask>([&](int i) { return a.v[i] < b.v[i]; });
}
MORAY_FUNCTION Mask equal(Float a, Float b) {
  return each_lane<Mask>([&](int i) { return a.v[i] == b.v[i]; });
}

/// x 2^n, where `shifted` is kRound + n and the result is a normal float64.
MORAY_FUNCTION Double scale_by_power(Double x, Double shifted) {
  return each_lane<Double>(
      [&](int i) { return double_of(double_bits(x.v[i]) + (double_bits(shifted.v[i]) << 52)); });
}
MORAY_FUNCTION Double low_half(Float x) {
  return each_lane<Double>([&](int i) { return static_cast<double>(x.v[i]); });
}
MORAY_FUNCTION Double high_half(Float x) {
  return each_lane<Double>([&](int i) { return static_cast<double>(x.v[i + Double::kLanes]); });
}
MORAY_FUNCTION Float join(Double low, Double high) {
  return each_lane<Float>([&](int i) {
    return static_cast<float>(i < Double::kLanes ? low.v[i] : high.v[i - Double::kLanes]);
  });
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

MORAY_FUNCTION std::uint16_t bf16_bits(float x) {
  const std::uint32_t bits = float_bits(x);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const std::uint32_t rounded = nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  return static_cast<std::uint16_t>(rounded >> 16);
}
/// bf16 by integer arithmetic: round to nearest even, denormals kept, NaN made quiet.
MORAY_FUNCTION void store_bf16(std::uint16_t* p, Float x, int count = Float::kLanes) {
  for (int i = 0; i < Float::kLanes && i < count; ++i) p[i] = bf16_bits(x.v[i]);
}
MORAY_FUNCTION Float load_bf16(const std::uint16_t* p, int count = Float::kLanes) {
  return each_lane<Float>(
      [&](int i) { return i < count ? float_of(static_cast<std::uint32_t>(p[i]) << 16) : 0.0f; });
}

}  // namespace moray::MORAY_ISA
