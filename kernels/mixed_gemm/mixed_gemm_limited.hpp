#pragma once

/// Register tiles of the model of a limited accumulator (limited_sum.hpp), on the same packed operands.

#include "kernels/host/simd_fp8.hpp"
#include "kernels/mixed_gemm/limited_sum.hpp"
#include "kernels/mixed_gemm/mixed_gemm_micro.hpp"

namespace moray::MORAY_ISA {
namespace {

using LimitedLanes = LimitedSum<VectorLanes>;

MORAY_FUNCTION VectorLanes::Real lanes(Float x) {
  return reinterpret_cast<VectorLanes::Real>(x.v);
}
MORAY_FUNCTION Float vector(VectorLanes::Real x) {
  Float v;
  v.v = reinterpret_cast<decltype(v.v)>(x);
  return v;
}

/// Rows of a tile that are summed together: enough chains to hide the latency of their operations.
constexpr int kLimitedRows = 4;

/// Exponents of up to kLimitedGroup steps of a packed sliver of `rows` rows, or of one vector of the
/// columns of a tile of b.
MORAY_FUNCTION void left_exponents(const float* a, long count, int least, std::int32_t* out) {
  for (long i = 0; i < count; i += kLanes) {
    const int n = static_cast<int>(count - i < kLanes ? count - i : kLanes);
    const Codes e = LimitedLanes::exponent_of(lanes(Float::load(a + i, n)), least);
    __builtin_memcpy(out + i, &e, sizeof(e));
  }
}

/// One group: `rows` of the sliver a, whose exponents are ea, times `steps` vectors b, `width` apart.
template <int rows>
MORAY_FUNCTION void limited_group(const float* a, const std::int32_t* ea, long stride,
                                  const float* b, const Codes* eb, long width, long steps,
                                  LimitedLanes* sum) {
  Codes largest[rows];
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) largest[i] = VectorLanes::all(2 * LimitedLanes::kNone);
  for (long l = 0; l < steps; ++l) {
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      const Codes e = eb[l] + ea[l * stride + i];
      largest[i] = e > largest[i] ? e : largest[i];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) sum[i].align(largest[i]);
  for (long l = 0; l < steps; ++l) {
    const Float right = Float::load(b + l * width);
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
      sum[i].add(lanes(Float::broadcast(a[l * stride + i]) * right));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) sum[i].finish();
}

/// One block of a sliver and one vector of columns, for the rows from `row` on.
template <int rows>
void limited_block(const MixedTile& t, long row, long sliver_rows, const float* a,
                   const std::int32_t* ea, const float* b, long width, long steps,
                   LimitedLanes* sum) {
  Codes eb[kLimitedGroup];
  for (long l = 0; l < steps; l += kLimitedGroup) {
    const long depth = steps - l < kLimitedGroup ? steps - l : kLimitedGroup;
    for (long s = 0; s < depth; ++s) {
      eb[s] = LimitedLanes::exponent_of(lanes(Float::load(b + (l + s) * width)), t.right_least);
    }
    limited_group<rows>(a + l * sliver_rows + row, ea + l * sliver_rows + row, sliver_rows,
                        b + l * width, eb, width, depth, sum + row);
  }
}

/// The columns of vector v of a tile.
void limited_columns(const MixedTile& t, long rows, long width, long v) {
  const int count = static_cast<int>(t.columns - v < kLanes ? t.columns - v : kLanes);
  LimitedLanes sum[kTileRows];
  Float acc[kTileRows];  // promoted sums; else what NaN scales leave behind
  for (long i = 0; i < rows; ++i) {
    const bool first = t.start == GemmStart::zero;
    acc[i] = first ? Float::zero() : Float::load(t.to.c + i * t.to.ldc + v, count);
    sum[i].start(lanes(t.promoted ? Float::zero() : acc[i]));
    if (!t.promoted) acc[i] = acc[i] * Float::zero();
  }
  std::int32_t ea[kTileRows * static_cast<long>(kScaleBlock) + kLanes];
  const float* a = t.a;
  const float* b = t.b;
  for (long q = 0; q < t.part->count; ++q) {
    const long steps = t.part->blocks[q].count;
    left_exponents(a + rows, steps * rows, t.left_least, ea);
    for (long i = 0; i < rows; ++i) {
      const Float scale = Float::broadcast(a[i]) * Float::load(b + v);
      if (t.promoted) {
        sum[i].start(lanes(Float::zero()));
      } else {
        sum[i].multiply_by(lanes(scale));
        acc[i] = acc[i] + scale * Float::zero();  // NaN stays
      }
    }
    const float* right = b + width + v;
    long i = 0;
    for (; i + kLimitedRows <= rows; i += kLimitedRows) {
      limited_block<kLimitedRows>(t, i, rows, a + rows, ea, right, width, steps, sum);
    }
    for (; i < rows; ++i) limited_block<1>(t, i, rows, a + rows, ea, right, width, steps, sum);
    for (i = 0; t.promoted && i < rows; ++i) {
      const Float scale = Float::broadcast(a[i]) * Float::load(b + v);
      acc[i] = fma(vector(sum[i].value), scale, acc[i]);
    }
    a += (steps + 1) * rows;
    b += (steps + 1) * width;
  }
  for (long i = 0; i < rows; ++i) {
    store_sum(t, i, v, t.promoted ? acc[i] : vector(sum[i].value) + acc[i], count);
  }
}

MORAY_FUNCTION void limited_tile(const MixedTile& t, long rows, long vectors) {
  for (long v = 0; v < vectors; ++v) limited_columns(t, rows, vectors * kLanes, v * kLanes);
}

}  // namespace
}  // namespace moray::MORAY_ISA
