#pragma once

/// The register tile of the host product: kTileRows x kTileColumns chains held in registers over a
/// whole block of k.

#include "kernels/gemm/gemm_host.hpp"
#include "kernels/host/simd.hpp"

namespace moray::MORAY_ISA {
namespace {

// As many chains as the registers hold beside two vectors of b and one value of a: enough to cover
// the latency of fma, and few loads for each fma.
#if defined(MORAY_ISA_v4)
constexpr int kTileRows = 12;
#elif defined(MORAY_ISA_v3)
constexpr int kTileRows = 6;
#else
constexpr int kTileRows = 8;
#endif
constexpr int kLanes = Float::kLanes;
constexpr int kTileVectors = 2;
constexpr long kTileColumns = kTileVectors * kLanes;

/// What a register tile reads and writes. Element (i, l) of a is a[i * lda + l] when it is read in
/// place, a[l * rows + i] when the sliver was packed; b is a packed column tile; `columns` of its
/// vectors * kLanes columns exist in c.
struct TileArguments {
  long k;
  const float* a;
  long lda;
  const float* b;
  float* c;
  long ldc;
  int columns;
  GemmStart start;
  const float* next;  // c of the tile after this one: asked for while this one is computed
};

/// Continues the chains in `sum` over k steps of a and b.
template <int rows, int vectors, bool in_place>
MORAY_FUNCTION void run_chains(long k, const float* a, long lda, const float* b,
                               Float (&sum)[rows][vectors]) {
  for (long l = 0; l < k; ++l) {
    Float right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) right[v] = Float::load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float left = Float::broadcast(in_place ? a[i * lda] : a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
    }
    a += in_place ? 1 : rows;
    b += vectors * kLanes;
  }
}

template <int rows, int vectors, bool in_place>
void multiply_tile(const TileArguments& t) {
  Float sum[rows][vectors];
  const int last = t.columns - (vectors - 1) * kLanes;
  if (t.start == GemmStart::c) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const float* c = t.c + i * t.ldc;
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        const bool whole = v + 1 < vectors || last == kLanes;
        sum[i][v] = whole ? Float::load(c + v * kLanes) : Float::load(c + v * kLanes, last);
      }
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = Float::zero();
    }
  }

#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    __builtin_prefetch(t.next + i * t.ldc, 1);
    __builtin_prefetch(t.next + i * t.ldc + vectors * kLanes - 1, 1);
  }
  run_chains<rows, vectors, in_place>(t.k, t.a, t.lda, t.b, sum);

#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    float* c = t.c + i * t.ldc;
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const Float result = sum[i][v] + Float::zero();  // never -0
      if (v + 1 < vectors || last == kLanes) {
        result.store(c + v * kLanes);
      } else {
        result.store(c + v * kLanes, last);
      }
    }
  }
}

using TileFunction = void (*)(const TileArguments&);

/// multiply_tile for 1 to kTileRows rows.
template <int vectors, bool in_place>
struct TileTable {
  TileFunction of_rows[kTileRows + 1] = {};
  constexpr TileTable() { fill<kTileRows>(); }
  template <int rows>
  constexpr void fill() {
    of_rows[rows] = multiply_tile<rows, vectors, in_place>;
    if constexpr (rows > 1) fill<rows - 1>();
  }
};
constexpr TileTable<1, false> kNarrowPacked;
constexpr TileTable<2, false> kWidePacked;
constexpr TileTable<1, true> kNarrowInPlace;
constexpr TileTable<2, true> kWideInPlace;

MORAY_FUNCTION TileFunction tile_function(long rows, long vectors, bool in_place) {
  if (in_place) return (vectors == 1 ? kNarrowInPlace.of_rows : kWideInPlace.of_rows)[rows];
  return (vectors == 1 ? kNarrowPacked.of_rows : kWidePacked.of_rows)[rows];
}

}  // namespace
}  // namespace moray::MORAY_ISA
