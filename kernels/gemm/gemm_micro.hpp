#pragma once

/// The register tile of the host product: kTileRows x kTileColumns chains held in registers over a
/// whole block of k.

#include "kernels/gemm/gemm_host.hpp"
#include "kernels/gemm/gemm_simd.hpp"

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
};

template <int rows, int vectors, bool in_place>
void multiply_tile(const TileArguments& t) {
  vec sum[rows][vectors];
  const int last = t.columns - (vectors - 1) * kLanes;
  if (t.start == GemmStart::c) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const float* c = t.c + i * t.ldc;
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) {
        const bool whole = v + 1 < vectors || last == kLanes;
        sum[i][v] = whole ? load(c + v * kLanes) : load_first(c + v * kLanes, last);
      }
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      __builtin_prefetch(t.c + i * t.ldc, 1);
      __builtin_prefetch(t.c + i * t.ldc + t.columns - 1, 1);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = zero();
    }
  }

  const float* a = t.a;
  const float* b = t.b;
  const long lda = t.lda;
  for (long l = 0; l < t.k; ++l) {
    vec right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) right[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const vec left = broadcast(in_place ? a + i * lda : a + i);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sum[i][v] = fma(left, right[v], sum[i][v]);
    }
    a += in_place ? 1 : rows;
    b += vectors * kLanes;
  }

#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    float* c = t.c + i * t.ldc;
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      const vec result = add(sum[i][v], zero());  // never -0
      if (v + 1 < vectors || last == kLanes) {
        store(c + v * kLanes, result);
      } else {
        store_first(c + v * kLanes, last, result);
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

MORAY_INLINE TileFunction tile_function(long rows, long vectors, bool in_place) {
  if (in_place) return (vectors == 1 ? kNarrowInPlace.of_rows : kWideInPlace.of_rows)[rows];
  return (vectors == 1 ? kNarrowPacked.of_rows : kWidePacked.of_rows)[rows];
}

}  // namespace
}  // namespace moray::MORAY_ISA
