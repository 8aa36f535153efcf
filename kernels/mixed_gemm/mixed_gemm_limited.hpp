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

/// Exponents of `count` numbers; writes whole vectors.
MORAY_FUNCTION void exponents_of(const float* x, long count, int least, std::int32_t* out) {
  for (long i = 0; i < count; i += kLanes) {
    const int n = static_cast<int>(count - i < kLanes ? count - i : kLanes);
    const Codes e = LimitedLanes::exponent_of(lanes(Float::load(x + i, n)), least);
    __builtin_memcpy(out + i, &e, sizeof(e));
  }
}

/// One block of both operands: numbers and exponents of a sliver of `stride` rows, and of one vector of
/// the columns of a tile of b that is `width` wide.
struct LimitedBlock {
  const float* a;
  const std::int32_t* ea;
  long stride;
  const float* b;
  const Codes* eb;
  long width;
  long steps;
};

/// The groups of a block, for `rows` rows from `row` on.
template <int rows>
MORAY_FUNCTION void limited_rows(const LimitedBlock& block, long row, LimitedLanes* sums) {
  LimitedLanes sum[rows];  // in registers: sums may alias what is read
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) sum[i] = sums[row + i];
  const float* a = block.a + row;
  const std::int32_t* ea = block.ea + row;
  for (long first = 0; first < block.steps; first += kLimitedGroup) {
    const long end = block.steps - first < kLimitedGroup ? block.steps : first + kLimitedGroup;
    Codes largest[rows];
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) largest[i] = VectorLanes::all(2 * LimitedLanes::kNone);
    for (long l = first; l < end; ++l) {
      const Codes right = block.eb[l];
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        const Codes e = right + ea[l * block.stride + i];
        largest[i] = e > largest[i] ? e : largest[i];
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) sum[i].align(largest[i]);
    for (long l = first; l < end; ++l) {
      const Float right = Float::load(block.b + l * block.width);
#pragma GCC unroll 4
      for (int i = 0; i < rows; ++i) {
        sum[i].add(lanes(Float::broadcast(a[l * block.stride + i]) * right));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) sum[i].finish();
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; ++i) sums[row + i] = sum[i];
}

MORAY_FUNCTION void limited_tile(const MixedTile& t, long rows, long vectors) {
  const long width = vectors * kLanes;
  LimitedLanes sum[kTileVectors][kTileRows];
  Float acc[kTileVectors][kTileRows];  // promoted sums; else what NaN scales leave behind
  const auto lanes_of = [&](long v) {
    return static_cast<int>(t.columns - v * kLanes < kLanes ? t.columns - v * kLanes : kLanes);
  };
  for (long v = 0; v < vectors; ++v) {
    for (long i = 0; i < rows; ++i) {
      const bool first = t.start == GemmStart::zero;
      Float& start = acc[v][i];
      start = first ? Float::zero() : Float::load(t.to.c + i * t.to.ldc + v * kLanes, lanes_of(v));
      sum[v][i].start(lanes(t.promoted ? Float::zero() : start));
      if (!t.promoted) start = start * Float::zero();
    }
  }
  std::int32_t ea[kTileRows * static_cast<long>(kScaleBlock) + kLanes];
  Codes eb[kScaleBlock];
  LimitedBlock block = {t.a, ea, rows, t.b, eb, width, 0};
  for (long q = 0; q < t.part->count; ++q) {
    const float* left_scales = block.a;
    const float* right_scales = block.b;
    block.steps = t.part->blocks[q].count;
    block.a += rows;
    exponents_of(block.a, block.steps * rows, t.left_least, ea);
    for (long v = 0; v < vectors; ++v) {
      block.b = right_scales + width + v * kLanes;
      for (long l = 0; l < block.steps; ++l) {
        eb[l] = LimitedLanes::exponent_of(lanes(Float::load(block.b + l * width)), t.right_least);
      }
      const Float right = Float::load(right_scales + v * kLanes);
      for (long i = 0; i < rows; ++i) {
        const Float scale = Float::broadcast(left_scales[i]) * right;
        if (t.promoted) {
          sum[v][i].start(lanes(Float::zero()));
        } else {
          sum[v][i].multiply_by(lanes(scale));
          acc[v][i] = acc[v][i] + scale * Float::zero();  // NaN stays
        }
      }
      long i = 0;
      for (; i + kLimitedRows <= rows; i += kLimitedRows) {
        limited_rows<kLimitedRows>(block, i, sum[v]);
      }
      for (; i < rows; ++i) limited_rows<1>(block, i, sum[v]);
      for (i = 0; t.promoted && i < rows; ++i) {
        const Float scale = Float::broadcast(left_scales[i]) * right;
        acc[v][i] = fma(vector(sum[v][i].value), scale, acc[v][i]);
      }
    }
    block.a += block.steps * rows;
    block.b = right_scales + (block.steps + 1) * width;
  }
  for (long v = 0; v < vectors; ++v) {
    for (long i = 0; i < rows; ++i) {
      const Float kept = acc[v][i];
      store_sum(t, i, v * kLanes, t.promoted ? kept : vector(sum[v][i].value) + kept, lanes_of(v));
    }
  }
}

}  // namespace
}  // namespace moray::MORAY_ISA
