// Products of bf16 and FP8 operands on the register tile of the float32 product: b is decoded while it
// is packed into column tiles, once for all rows; a while a sliver of one tile's rows is packed, which
// serves all column tiles. docs/fp8.md section 3.
#include "kernels/mixed_gemm/mixed_gemm_host.hpp"

#include "core/progress.hpp"
#include "kernels/mixed_gemm/mixed_gemm_limited.hpp"
#include "kernels/mixed_gemm/mixed_gemm_pack.hpp"

namespace moray::MORAY_ISA {
namespace {

long min(long a, long b) {
  return a < b ? a : b;
}
long round_up(long value, long unit) {
  return (value + unit - 1) / unit * unit;
}

long packed_columns(long n) {
  return round_up(n, kLanes);
}
/// Columns of column tile j, padding included.
long tile_width(long n, long j) {
  return min(kTileColumns, packed_columns(n - j * kTileColumns));
}

void pack(GemmForm form, long column, long n, const MixedPart& part, const MixedOperand& b,
          long tile_begin, long tile_end, float* packed) {
  with_type(b.type, [&]<NumberType type>() {
    const long step = form == GemmForm::nt ? 1 : kPackedTiles;
    for (long j = tile_begin; j < tile_end; j += step) {
      const long first = j * kTileColumns;
      const long end = min(min(tile_end, j + step) * kTileColumns, n);
      float* to = packed + first * part.depth;
      if (form == GemmForm::nt) {
        pack_rows<type>(b, part, column + first, end - first, tile_width(n, j), to);
      } else {
        const long last = tile_width(n, (end - 1) / kTileColumns);
        pack_columns<type>(b, part, column + first, end - first, kTileColumns, last,
                           kTileColumns * part.depth, to);
      }
    }
  });
}

/// Slivers (one tile's rows of a) that are packed at a time.
constexpr long kSlivers = 4;
constexpr long kSliverFloats = kTileRows * kMixedDepth + kLanes;
static_assert(kSlivers <= kPackedTiles && kSlivers * kTileRows % 8 == 0);

/// Floats from a sliver to the next: what a step writes beyond its end is not read.
long sliver_stride(const MixedPart& part) {
  return kTileRows * part.depth + kLanes;
}

/// Packs the slivers of rows [row, row + count) of a, or of columns in form tn.
void pack_left(GemmForm form, long row, long count, const MixedPart& part, const MixedOperand& a,
               float* slivers) {
  with_type(a.type, [&]<NumberType type>() {
    const long stride = sliver_stride(part);
    const long last = count - (count - 1) / kTileRows * kTileRows;
    if (form == GemmForm::tn) {
      pack_columns<type>(a, part, row, count, kTileRows, last, stride, slivers);
    } else {
      for (long r = 0; r < count; r += kTileRows) {
        const long rows = min(kTileRows, count - r);
        pack_rows<type>(a, part, row + r, rows, rows, slivers + r / kTileRows * stride);
      }
    }
  });
}

MixedResult moved(MixedResult to, long i, long j) {
  if (to.c != nullptr) to.c += i * to.ldc + j;
  if (to.rounded != nullptr) to.rounded += i * to.ldr + j;
  if (to.added != nullptr) to.added += i * to.ldr + j;
  return to;
}

/// Register tiles, of some microseconds each, between two chances for communication.
constexpr long kTilesOfProgress = 16;

void multiply(GemmForm form, Accumulation accumulation, GemmStart start, long row, long m, long n,
              const MixedPart& part, const MixedOperand& a, NumberType b, const float* packed,
              long tile_begin, long tile_end, const MixedResult& to) {
  alignas(64) float slivers[kSlivers * kSliverFloats];
  MixedTile tile = {};
  tile.part = &part;
  tile.start = start;
  tile.promoted = accumulation != Accumulation::limited;
  tile.left_least = least_exponent(a.type);
  tile.right_least = least_exponent(b);
  for (long i0 = 0; i0 < m; i0 += kSlivers * kTileRows) {
    const long end = min(i0 + kSlivers * kTileRows, m);
    pack_left(form, row + i0, end - i0, part, a, slivers);
    for (long i = i0; i < end; i += kTileRows) {
      const long rows = min(kTileRows, end - i);
      tile.a = slivers + (i - i0) / kTileRows * sliver_stride(part);
      for (long j = tile_begin; j < tile_end; ++j) {
        const long first = j * kTileColumns;
        const long vectors = tile_width(n, j) / kLanes;
        tile.b = packed + first * part.depth;
        tile.to = moved(to, i, first);
        tile.columns = static_cast<int>(min(kTileColumns, n - first));
        if (accumulation == Accumulation::exact) {
          mixed_tile_function(a.scales != nullptr, rows, vectors)(tile);
        } else {
          limited_tile(tile, rows, vectors);
        }
        if (j % kTilesOfProgress == 0) make_progress();
      }
    }
  }
}

}  // namespace

extern const HostMixedGemm host_mixed_gemm;
const HostMixedGemm host_mixed_gemm = {kTileRows, kTileColumns, packed_columns, pack, multiply};

}  // namespace moray::MORAY_ISA
