#pragma once

/// The register tiles of products with bf16 and FP8 operands: the chains of gemm_micro.hpp over packed
/// operands that were decoded when they were packed.

#include "kernels/gemm/gemm_micro.hpp"
#include "kernels/mixed_gemm/mixed_gemm_host.hpp"

namespace moray::MORAY_ISA {
namespace {

/// What a register tile reads and writes: a packed sliver of a, a packed column tile of b.
struct MixedTile {
  const MixedPart* part;
  const float* a;
  const float* b;
  MixedResult to;
  int columns;
  GemmStart start;
  bool promoted;   // of a limited accumulator
  int left_least;  // the least exponents of both operands' types
  int right_least;
};

template <int rows, int vectors>
MORAY_FUNCTION void load_sums(const MixedTile& t, Float (&sum)[rows][vectors]) {
  const int last = t.columns - (vectors - 1) * kLanes;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const float* c = t.to.c + i * t.to.ldc + v * kLanes;
      if (t.start == GemmStart::zero) {
        sum[i][v] = Float::zero();
      } else if (v + 1 < vectors || last == kLanes) {
        sum[i][v] = Float::load(c);
      } else {
        sum[i][v] = Float::load(c, last);
      }
    }
  }
}

/// `count` sums of row i from column v on, as the result of a product or between two of its parts.
MORAY_FUNCTION void store_sum(const MixedTile& t, long i, long v, Float sum, int count) {
  Float result = sum + Float::zero();  // never -0
  if (t.to.rounds) result = to_nearest_bf16(result);
  if (t.to.rounded != nullptr) {
    store_bf16(t.to.rounded + i * t.to.ldr + v, result, count);
  } else if (t.to.added != nullptr) {
    float* c = t.to.added + i * t.to.ldr + v;
    (Float::load(c, count) + result).store(c, count);
  } else if (count == kLanes) {
    result.store(t.to.c + i * t.to.ldc + v);
  } else {
    result.store(t.to.c + i * t.to.ldc + v, count);
  }
}

template <int rows, int vectors>
MORAY_FUNCTION void store_sums(const MixedTile& t, const Float (&sum)[rows][vectors]) {
  const int last = t.columns - (vectors - 1) * kLanes;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      store_sum(t, i, v * kLanes, sum[i][v], v + 1 < vectors ? kLanes : last);
    }
  }
}

/// Operands without scales: one chain.
template <int rows, int vectors>
void chain_tile(const MixedTile& t) {
  Float sum[rows][vectors];
  load_sums(t, sum);
  run_chains<rows, vectors, false>(t.part->depth, t.a, 0, t.b, sum);
  store_sums(t, sum);
}

/// acc = fma(chain, s_a s_b, acc) after each block. The registers are full of chains: acc is in
/// memory, in the first-level cache.
template <int rows, int vectors>
void promote_tile(const MixedTile& t) {
  constexpr int kWidth = vectors * kLanes;
  Float acc[rows][vectors];
  load_sums(t, acc);
  const float* a = t.a;
  const float* b = t.b;
  for (long q = 0; q < t.part->count; ++q) {
    const long steps = t.part->blocks[q].count;
    Float sum[rows][vectors];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = Float::zero();
    }
    run_chains<rows, vectors, false>(steps, a + rows, 0, b + kWidth, sum);
    Float scale[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) scale[v] = Float::load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float left = Float::broadcast(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        acc[i][v] = fma(sum[i][v], left * scale[v], acc[i][v]);
      }
    }
    a += (steps + 1) * rows;
    b += (steps + 1) * kWidth;
  }
  store_sums(t, acc);
}

using MixedTileFunction = void (*)(const MixedTile&);

/// The tiles of 1 to kTileRows rows.
template <int vectors>
struct MixedTileTable {
  MixedTileFunction chains[kTileRows + 1] = {};
  MixedTileFunction promoted[kTileRows + 1] = {};
  constexpr MixedTileTable() { fill<kTileRows>(); }
  template <int rows>
  constexpr void fill() {
    chains[rows] = chain_tile<rows, vectors>;
    promoted[rows] = promote_tile<rows, vectors>;
    if constexpr (rows > 1) fill<rows - 1>();
  }
};
constexpr MixedTileTable<1> kNarrowMixed;
constexpr MixedTileTable<2> kWideMixed;

MORAY_FUNCTION MixedTileFunction mixed_tile_function(bool promoted, long rows, long vectors) {
  if (promoted) return (vectors == 1 ? kNarrowMixed.promoted : kWideMixed.promoted)[rows];
  return (vectors == 1 ? kNarrowMixed.chains : kWideMixed.chains)[rows];
}

}  // namespace
}  // namespace moray::MORAY_ISA
