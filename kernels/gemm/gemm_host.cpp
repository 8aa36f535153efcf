// The exact float32 product of one instruction set; docs/numerics.md section 2.
//
// c is cut into register tiles whose chains stay in registers over a block of k (kGemmBlockDepth);
// the next block loads the tile back from c, so a chain is never split. b is packed into column
// tiles that are read from front to back; a is read where it lies, a row of a tile a stream, unless
// its rows would fall into the same cache sets, or lies across (form tn): then a sliver of one
// tile's rows is packed as it is needed and serves all column tiles.
#include "kernels/gemm/gemm_host.hpp"

#include "core/progress.hpp"
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

/// Form nt: a column tile is a block of rows of b on its side.
void pack_transposed_tiles(long n, long k, const float* b, long ldb, long tile_begin, long tile_end,
                           float* packed) {
  for (long j = tile_begin; j < tile_end; ++j) {
    const long first = j * kTileColumns;
    const long width = padded_columns(n, j);
    for (long v = 0; v < width; v += kLanes) {
      pack_transposed(min(kLanes, n - first - v), k, b + (first + v) * ldb, ldb,
                      packed + first * k + v, width);
    }
  }
}

/// Forms nn and tn: b is read row by row, a row's pieces go to their column tiles.
void pack_straight_tiles(long n, long k, const float* b, long ldb, long tile_begin, long tile_end,
                         float* packed) {
  const long whole = min(tile_end, n / kTileColumns);
  for (long l = 0; l < k; ++l) {
    for (long j = tile_begin; j < whole; ++j) {
      const float* from = b + l * ldb + j * kTileColumns;
      float* to = packed + (j * k + l) * kTileColumns;
      for (int v = 0; v < kTileVectors; ++v) {
        Float::load(from + v * kLanes).store(to + v * kLanes);
      }
    }
  }
  if (whole < tile_end) {
    const long first = whole * kTileColumns;
    pack_straight(n - first, k, b + first, ldb, packed + first * k, padded_columns(n, whole));
  }
}

void pack(GemmForm form, long n, long k, const float* b, long ldb, long tile_begin, long tile_end,
          float* packed) {
  const auto pack_tiles = form == GemmForm::nt ? pack_transposed_tiles : pack_straight_tiles;
  pack_tiles(n, k, b, ldb, tile_begin, tile_end, packed);
}

/// Rows of a that are a multiple of 1 KiB apart meet in few sets of a 32 KiB first-level cache.
bool rows_collide(long lda) {
  return lda % 256 == 0;
}

/// Slivers (one tile's rows of a, k steps) that form tn packs at a time: whole cache lines of a.
constexpr long kSlivers = 4;
constexpr long kSliverFloats = kTileRows * kGemmBlockDepth + kLanes;

/// Floats from a sliver of k steps to the next: what a step writes beyond its end is not read.
long sliver_stride(long k) {
  return kTileRows * k + kLanes;
}

/// Rows of a that are asked for before they are packed: rows far apart are no stream to the
/// processor.
constexpr long kAhead = 12;

/// Form tn: packs the slivers of columns [i, i + rows) of a (k, m), row by row.
void pack_left_straight(long i, long rows, long k, const float* a, long lda, float* slivers) {
  const long whole = rows / kTileRows;
  for (long l = 0; l < k; ++l) {
    const float* from = a + l * lda + i;
    for (long r = 0; r < rows; r += 16) __builtin_prefetch(from + kAhead * lda + r);
    for (long s = 0; s < whole; ++s) {
      float* to = slivers + s * sliver_stride(k) + l * kTileRows;
      for (int v = 0; v < kTileRows; v += kLanes) {
        const int count = kTileRows - v < kLanes ? kTileRows - v : kLanes;
        Float::load(from + s * kTileRows + v, count).store(to + v);
      }
    }
  }
  const long rest = rows - whole * kTileRows;
  pack_straight(rest, k, a + i + whole * kTileRows, lda, slivers + whole * sliver_stride(k), rest);
}

/// Forms nt and nn: the same of rows [i, i + rows) of a (m, k).
void pack_left_transposed(long i, long rows, long k, const float* a, long lda, float* slivers) {
  for (long r = 0; r < rows; r += kTileRows) {
    const long count = min(kTileRows, rows - r);
    float* sliver = slivers + r / kTileRows * sliver_stride(k);
    for (long part = 0; part < count; part += kLanes) {
      pack_transposed(min(kLanes, count - part), k, a + (i + r + part) * lda, lda, sliver + part,
                      count);
    }
  }
}

/// Register tiles, of some microseconds each, between two chances for communication.
constexpr long kTilesOfProgress = 16;

void multiply(GemmForm form, GemmStart start, long m, long n, long k, const float* a, long lda,
              const float* packed, long tile_begin, long tile_end, float* c, long ldc) {
  alignas(64) float slivers[kSlivers * kSliverFloats];
  const bool in_place = form != GemmForm::tn && !(rows_collide(lda) && tile_end - tile_begin > 2);
  const auto pack_left = form == GemmForm::tn ? pack_left_straight : pack_left_transposed;
  const long group = in_place ? kTileRows : kSlivers * kTileRows;
  TileArguments tile = {};
  tile.k = k;
  tile.lda = lda;
  tile.ldc = ldc;
  tile.start = start;
  for (long i0 = 0; i0 < m; i0 += group) {
    const long end = min(i0 + group, m);
    if (!in_place) pack_left(i0, end - i0, k, a, lda, slivers);
    for (long i = i0; i < end; i += kTileRows) {
      const long rows = min(kTileRows, end - i);
      tile.a = in_place ? a + i * lda : slivers + (i - i0) / kTileRows * sliver_stride(k);
      for (long j = tile_begin; j < tile_end; ++j) {
        const long first = j * kTileColumns;
        tile.b = packed + first * k;
        tile.c = c + i * ldc + first;
        tile.columns = static_cast<int>(min(kTileColumns, n - first));
        tile.next = j + 1 < tile_end ? tile.c + kTileColumns
                                     : c + (i + rows) * ldc + tile_begin * kTileColumns;
        tile_function(rows, padded_columns(n, j) / kLanes, in_place)(tile);
        if (j % kTilesOfProgress == 0) make_progress();
      }
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
