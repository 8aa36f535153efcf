// The exact float32 product of one instruction set; docs/numerics.md section 2.
//
// c is cut into register tiles whose chains stay in registers over a block of k (kGemmBlockDepth);
// the next block loads the tile back from c, so a chain is never split. b is packed into column
// tiles that are read from front to back; a is read where it lies, a row of a tile a stream, unless
// its rows would fall into the same cache sets, or lies across (form tn): then a sliver of one
// tile's rows is packed as it is needed and serves all column tiles.
#include "kernels/gemm/gemm_host.hpp"

#include "kernels/gemm/gemm_pack.hpp"

namespace moray::MORAY_ISA {
namespace {

long min(long a, long b) {
  return a < b ? a : b;
}
long round_up(long value, long unit) {
  return (value + unit - 1) / unit * unit;
}

/// Columns of column tile j, padding included.
long padded_columns(long n, long j) {
  return min(kTileColumns, round_up(n - j * kTileColumns, kLanes));
}

long packed_floats(long n, long k) {
  return round_up(n, kLanes) * k;
}

void pack(GemmForm form, long n, long k, const float* b, long ldb, long tile_begin, long tile_end,
          float* packed) {
  for (long j = tile_begin; j < tile_end; ++j) {
    const long first = j * kTileColumns;
    const long width = padded_columns(n, j);
    float* out = packed + first * k;
    if (form == GemmForm::nt) {
      for (long v = 0; v < width; v += kLanes) {
        const long rows = min(kLanes, n - first - v);
        pack_transposed(rows, k, b + (first + v) * ldb, ldb, out + v, width);
      }
    } else {
      pack_straight(min(width, n - first), k, b + first, ldb, out, width);
    }
  }
}

/// Rows of a that are a multiple of 1 KiB apart meet in few sets of a 32 KiB first-level cache.
bool rows_collide(long lda) {
  return lda % 256 == 0;
}

/// One tile's rows of a, k steps: what pack_transposed and pack_straight may touch.
constexpr long kSliverFloats = kTileRows * kGemmBlockDepth + kLanes;

void multiply(GemmForm form, GemmStart start, long m, long n, long k, const float* a, long lda,
              const float* packed, long tile_begin, long tile_end, float* c, long ldc) {
  alignas(64) float sliver[kSliverFloats];
  const bool in_place = form != GemmForm::tn && !(rows_collide(lda) && tile_end - tile_begin > 2);
  for (long i = 0; i < m; i += kTileRows) {
    const long rows = min(kTileRows, m - i);
    const float* left = form == GemmForm::tn ? a + i : a + i * lda;
    if (form == GemmForm::tn) {
      pack_straight(rows, k, left, lda, sliver, rows);
    } else if (!in_place) {
      for (long part = 0; part < rows; part += kLanes) {
        pack_transposed(min(kLanes, rows - part), k, left + part * lda, lda, sliver + part, rows);
      }
    }
    for (long j = tile_begin; j < tile_end; ++j) {
      const long first = j * kTileColumns;
      const TileArguments tile = {k,
                                  in_place ? left : sliver,
                                  lda,
                                  packed + first * k,
                                  c + i * ldc + first,
                                  ldc,
                                  static_cast<int>(min(kTileColumns, n - first)),
                                  start};
      tile_function(rows, padded_columns(n, j) / kLanes, in_place)(tile);
    }
  }
}

/// Columns of b that one thread packs at a time: with kGemmBlockDepth steps half a second-level
/// cache of 1 MiB.
constexpr long kSerialColumns = 320 / kTileColumns * kTileColumns;

long serial_scratch(long, long n, long k) {
  return packed_floats(min(n, kSerialColumns), min(k, kGemmBlockDepth));
}

void serial(GemmForm form, GemmStart start, long m, long n, long k, const float* a, long lda,
            const float* b, long ldb, float* c, long ldc, float* scratch) {
  for (long j = 0; j < n; j += kSerialColumns) {
    const long columns = min(kSerialColumns, n - j);
    const long tiles = (columns + kTileColumns - 1) / kTileColumns;
    GemmStart from = start;
    long l = 0;
    do {
      const long depth = min(kGemmBlockDepth, k - l);
      const float* right = form == GemmForm::nt ? b + j * ldb + l : b + l * ldb + j;
      const float* left = form == GemmForm::tn ? a + l * lda : a + l;
      pack(form, columns, depth, right, ldb, 0, tiles, scratch);
      multiply(form, from, m, columns, depth, left, lda, scratch, 0, tiles, c + j, ldc);
      from = GemmStart::c;
      l += depth;
    } while (l < k);
  }
}

}  // namespace

extern const HostGemm host_gemm;
const HostGemm host_gemm = {kTileRows, kTileColumns,   packed_floats, pack,
                            multiply,  serial_scratch, serial};

}  // namespace moray::MORAY_ISA
