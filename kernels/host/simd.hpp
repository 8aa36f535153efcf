#pragma once

/// Vectors for host micro-kernels: one source, compiled once for each instruction set
/// (cmake/MorayKernels.cmake), everything in namespace moray::MORAY_ISA and always inlined.
///
/// Float holds kLanes float32 (16 on v4, 8 else), Double half as many float64; Mask is what
/// comparisons of Float give.
///   V::load(p), V::load(p, count)     count lanes of memory, +0 in the others; no alignment needed
///   x.store(p), x.store(p, count)     writes count lanes only (count may exceed kLanes)
///   V::broadcast(s), V::zero(), V::first(count): the mask of the lanes below count
///   + - * / and unary minus, square_root, absolute: IEEE, one rounding
///   fma(a, b, c)                      a b + c with one rounding; nothing else is ever fused
///   max(a, b) = a > b ? a : b, min(a, b) = a < b ? a : b, also for NaN and zeros
///   less(a, b), equal(a, b), select(mask, a, b) = mask ? a : b
///   low_half(x), high_half(x)         as Double; join(low, high) rounds to float32
///   store_bf16(p, x), load_bf16(p)    bf16 to nearest even by integer arithmetic; also (.., count)
///   to_nearest_bf16(x)                the same rounding of numbers that stay float32
#if defined(MORAY_ISA_v4)
#include "kernels/host/simd_v4.hpp"
#elif defined(MORAY_ISA_v3)
#include "kernels/host/simd_v3.hpp"
#else
#include "kernels/host/simd_generic.hpp"
#endif

namespace moray::MORAY_ISA {

/// exp of float64 lanes, |x| < 750, before rounding to float32: the operations of exp_parts().
MORAY_FUNCTION Double exp_unrounded(Double x) {
  const auto c = [](double value) { return Double::broadcast(value); };
  const Double shifted = fma(x, c(kLog2E), c(kRound));
  const Double n = shifted - c(kRound);
  const Double r = negated_fma(n, c(kLn2Low), negated_fma(n, c(kLn2High), x));
  const Double z = r * r;
  Double even = fma(c(kExp10), z, c(kExp8));
  Double odd = fma(c(kExp11), z, c(kExp9));
  even = fma(even, z, c(kExp6));
  odd = fma(odd, z, c(kExp7));
  even = fma(even, z, c(kExp4));
  odd = fma(odd, z, c(kExp5));
  even = fma(even, z, c(0.5));
  odd = fma(odd, z, c(kExp3));
  return scale_by_power(c(1.0) + fma(z, fma(odd, r, even), r), shifted);
}

/// exp, correctly rounded: the bits of exp_exact(float) in every lane.
MORAY_FUNCTION Float exp(Float x) {
  x = min(Float::broadcast(kExpMax), x);
  x = max(Float::broadcast(kExpMin), x);
  return join(exp_unrounded(low_half(x)), exp_unrounded(high_half(x)));
}

/// 1 / (1 + exp(-x)), each operation rounded.
MORAY_FUNCTION Float sigmoid(Float x) {
  const Float one = Float::broadcast(1.0f);
  return one / (one + exp(-x));
}
/// x sigmoid(x).
MORAY_FUNCTION Float silu(Float x) {
  return x * sigmoid(x);
}
/// The derivative of silu from x and s = sigmoid(x): s (1 + x (1 - s)).
MORAY_FUNCTION Float dsilu(Float x, Float s) {
  const Float one = Float::broadcast(1.0f);
  return s * (one + x * (one - s));
}

constexpr int kRowChains = 16;

/// Row reduction, docs/numerics.md section 3: 16 chains from +0, element i in chain i mod 16, folded
/// by halves; never -0. V is Float or Double. For each group of lanes in order
/// chain = step(i, count, chain), for the elements i .. i + count - 1, count <= V::kLanes; what step
/// returns in lanes beyond count is dropped. It may also store (e while l is summed):
///
///   const float sum = row_reduction<Float>(n, [&](std::int64_t i, int count, Float c) {
///     const Float v = Float::load(x + i, count);
///     return fma(v, v, c);
///   });
template <class V, class Step>
MORAY_FUNCTION typename V::Scalar row_reduction(std::int64_t n, const Step& step) {
  constexpr int kParts = kRowChains / V::kLanes;
  V chain[kParts < 2 ? 2 : kParts] = {};  // g++ 12 breaks on an array of one vector
  std::int64_t i = 0;
  for (; i + kRowChains <= n; i += kRowChains) {
#pragma GCC unroll 4  // the chains stay in registers
    for (int part = 0; part < kParts; ++part) {
      chain[part] = step(i + part * V::kLanes, V::kLanes, chain[part]);
    }
  }
  for (int part = 0; part < kParts && i < n; ++part, i += V::kLanes) {
    const int count = n - i < V::kLanes ? static_cast<int>(n - i) : V::kLanes;
    const V next = step(i, count, chain[part]);
    chain[part] = select(V::first(count), next, chain[part]);
  }
  return fold_lanes(chain) + typename V::Scalar(0);
}

/// Asks for the line `bytes` behind p, which a loop over memory reaches later. Processors fetch ahead by
/// themselves, but stop where a page ends, after a few rows: quantising what lies in memory takes
/// a third less time with this, and what lies in a cache no more than without.
MORAY_FUNCTION void fetch_ahead(const void* p, std::int64_t bytes = 2048) {
  __builtin_prefetch(static_cast<const char*>(p) + bytes);
}

/// The same in a strip of a matrix, whose rows are `stride` elements apart: some rows further down.
template <class T>
MORAY_FUNCTION void fetch_row_ahead(const T* p, std::int64_t stride) {
  constexpr std::int64_t kRows = 8;
  fetch_ahead(p, kRows * stride * static_cast<std::int64_t>(sizeof(T)));
}

/// Float::load(p, count) in a loop over memory that rises with p.
MORAY_FUNCTION Float stream(const float* p, int count) {
  fetch_ahead(p);
  return Float::load(p, count);
}

/// The row reduction of a_i b_i.
MORAY_FUNCTION float row_product_sum(std::int64_t n, const float* a, const float* b) {
  return row_reduction<Float>(n, [=](std::int64_t i, int count, Float c) {
    return fma(stream(a + i, count), stream(b + i, count), c);
  });
}
/// The row reduction of x_i.
MORAY_FUNCTION float row_sum(std::int64_t n, const float* x) {
  return row_reduction<Float>(
      n, [=](std::int64_t i, int count, Float c) { return c + Float::load(x + i, count); });
}
/// The float64 row reduction of double(x_i) double(x_i).
MORAY_FUNCTION double row_sum_of_squares(std::int64_t n, const float* x) {
  return row_reduction<Double>(n, [=](std::int64_t i, int count, Double c) {
    fetch_ahead(x + i);
    const Double v = Double::load(x + i, count);
    return fma(v, v, c);
  });
}

/// The maximum of n >= 1 values, +0 where that is a zero of either sign (so that no order of
/// comparisons shows); n = 0 gives -infinity.
MORAY_FUNCTION float row_max(std::int64_t n, const float* x) {
  const Float lowest = Float::broadcast(-kInfinity);
  Float best = lowest;
  for (std::int64_t i = 0; i < n; i += Float::kLanes) {
    const int count = n - i < Float::kLanes ? static_cast<int>(n - i) : Float::kLanes;
    best = max(best, select(Float::first(count), Float::load(x + i, count), lowest));
  }
  float lane[Float::kLanes];
  best.store(lane);
  for (int i = 1; i < Float::kLanes; ++i) lane[0] = lane[i] > lane[0] ? lane[i] : lane[0];
  return lane[0] + 0.0f;
}

}  // namespace moray::MORAY_ISA
