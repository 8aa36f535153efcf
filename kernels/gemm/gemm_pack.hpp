#pragma once

/// Copies of operands in the order in which the register tile reads them.

#include "kernels/gemm/gemm_micro.hpp"

namespace moray::MORAY_ISA {
namespace {

// Interleavings of two vectors within their 128-bit lanes, and of those lanes: the compiler's own
// shuffle, since GCC 12 warns about its AVX-512 intrinsics.
#if defined(MORAY_ISA_v4)
#define MORAY_SHUFFLE(a, b, i, j, k, l)                                                      \
  __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, \
                          l + 8, i + 12, j + 12, k + 12, l + 12)
#define MORAY_LANES(a, b, i, j, k, l)                                                          \
  __builtin_shufflevector(a, b, 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * j, 4 * j + 1,      \
                          4 * j + 2, 4 * j + 3, 4 * k, 4 * k + 1, 4 * k + 2, 4 * k + 3, 4 * l, \
                          4 * l + 1, 4 * l + 2, 4 * l + 3)
#elif defined(MORAY_ISA_v3)
#define MORAY_SHUFFLE(a, b, i, j, k, l) \
  __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4)
#endif

/// x[i] lane j becomes x[j] lane i.
MORAY_FUNCTION void transpose(Float (&x)[kLanes]) {
#if defined(MORAY_ISA_v4) || defined(MORAY_ISA_v3)
  // 4 x 4 blocks first: x[4 q + c].v then holds, in each 128-bit lane, column c of rows 4 q to 4 q + 3.
  constexpr int kOther = kLanes;  // an index into the second vector
#pragma GCC unroll 4
  for (int q = 0; q < kLanes; q += 4) {
    const auto low01 = MORAY_SHUFFLE(x[q].v, x[q + 1].v, 0, kOther, 1, kOther + 1);
    const auto high01 = MORAY_SHUFFLE(x[q].v, x[q + 1].v, 2, kOther + 2, 3, kOther + 3);
    const auto low23 = MORAY_SHUFFLE(x[q + 2].v, x[q + 3].v, 0, kOther, 1, kOther + 1);
    const auto high23 = MORAY_SHUFFLE(x[q + 2].v, x[q + 3].v, 2, kOther + 2, 3, kOther + 3);
    x[q].v = MORAY_SHUFFLE(low01, low23, 0, 1, kOther, kOther + 1);
    x[q + 1].v = MORAY_SHUFFLE(low01, low23, 2, 3, kOther + 2, kOther + 3);
    x[q + 2].v = MORAY_SHUFFLE(high01, high23, 0, 1, kOther, kOther + 1);
    x[q + 3].v = MORAY_SHUFFLE(high01, high23, 2, 3, kOther + 2, kOther + 3);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
#if defined(MORAY_ISA_v4)
    const auto even01 = MORAY_LANES(x[c].v, x[4 + c].v, 0, 2, 4, 6);
    const auto odd01 = MORAY_LANES(x[c].v, x[4 + c].v, 1, 3, 5, 7);
    const auto even23 = MORAY_LANES(x[8 + c].v, x[12 + c].v, 0, 2, 4, 6);
    const auto odd23 = MORAY_LANES(x[8 + c].v, x[12 + c].v, 1, 3, 5, 7);
    x[c].v = MORAY_LANES(even01, even23, 0, 2, 4, 6);
    x[4 + c].v = MORAY_LANES(odd01, odd23, 0, 2, 4, 6);
    x[8 + c].v = MORAY_LANES(even01, even23, 1, 3, 5, 7);
    x[12 + c].v = MORAY_LANES(odd01, odd23, 1, 3, 5, 7);
#else
    const auto low = __builtin_shufflevector(x[c].v, x[4 + c].v, 0, 1, 2, 3, 8, 9, 10, 11);
    const auto high = __builtin_shufflevector(x[c].v, x[4 + c].v, 4, 5, 6, 7, 12, 13, 14, 15);
    x[c].v = low;
    x[4 + c].v = high;
#endif
  }
#else
  for (int i = 0; i < kLanes; ++i) {
    for (int j = 0; j < i; ++j) {
      const float swap = x[i].v[j];
      x[i].v[j] = x[j].v[i];
      x[j].v[i] = swap;
    }
  }
#endif
}

/// out[l * stride + i] = lane l % kLanes of load(i, l - l % kLanes, count) for `rows` <= kLanes rows and
/// k steps; load(row, step, count) gives `count` values of a row, zeros in the other lanes. Each step
/// writes a whole vector: lanes from `rows` on are zero and are overwritten by the next step when
/// stride < kLanes, so `out` has room for kLanes floats at its last step.
template <class Load>
MORAY_FUNCTION void pack_transposed(long rows, long k, const Load& load, float* out, long stride) {
  for (long l = 0; l < k; l += kLanes) {
    const int depth = static_cast<int>(k - l < kLanes ? k - l : kLanes);
    Float block[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i >= rows) {
        block[i] = Float::zero();
      } else {
        block[i] = depth == kLanes ? load(i, l, kLanes) : load(i, l, depth);
      }
    }
    transpose(block);
    if (depth == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) block[i].store(out + (l + i) * stride);
    } else {
      for (int i = 0; i < depth; ++i) block[i].store(out + (l + i) * stride);
    }
  }
}

/// The same of float32 in memory: out[l * stride + i] = in[i * ld + l].
MORAY_FUNCTION void pack_transposed(long rows, long k, const float* in, long ld, float* out,
                                    long stride) {
  const auto load = [=](long i, long l, int count) __attribute__((always_inline)) {
    return Float::load(in + i * ld + l, count);
  };
  pack_transposed(rows, k, load, out, stride);
}

/// out[l * stride + i] = in[l * ld + i] for `count` columns, up to whole vectors with zeros; `out` has
/// room for those at its last step.
MORAY_FUNCTION void pack_straight(long count, long k, const float* in, long ld, float* out,
                                  long stride) {
  for (long l = 0; l < k; ++l) {
    for (long i = 0; i < count; i += kLanes) {
      const int lanes = static_cast<int>(count - i < kLanes ? count - i : kLanes);
      Float::load(in + l * ld + i, lanes).store(out + l * stride + i);
    }
  }
}

}  // namespace
}  // namespace moray::MORAY_ISA
