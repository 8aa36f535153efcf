#include "kernels/mixed_gemm/mixed_gemm_pieces.hpp"

#include "kernels/host/pieces.hpp"

namespace moray::host {
namespace {

/// Tiles that a thread should find; the least columns, in register tiles, that are worth decoding a
/// sliver of a for.
constexpr std::int64_t kTilesPerThread = 4;
constexpr std::int64_t kColumnTiles = 8;
/// Column tiles that are packed together.
constexpr std::int64_t kPackColumns = 8;

/// Row i of a piece: where its sums are and where its results go.
MixedResult result_of(const MixedPiece& piece, std::int64_t i) {
  const MixedGemmTask& t = *piece.task;
  const std::int64_t at = (piece.row + i) * t.ldc + piece.column;
  float* sums = piece.sums == nullptr ? nullptr : piece.sums + i * piece.columns;
  if (t.rounded != nullptr) return {sums, piece.columns, t.rounded + at, nullptr, t.ldc};
  if (piece.is_added) return {sums, piece.columns, nullptr, t.c + at, t.ldc};
  return {t.c + at, t.ldc, nullptr, nullptr, 0, t.rounds};
}

}  // namespace

void pack_tile(const MixedLaunch& launch, const MixedPiece& piece, std::int64_t tile) {
  const HostMixedGemm& kernels = *launch.kernels;
  const std::int64_t columns = ceil_divide(piece.columns, kernels.tile_columns);
  const std::int64_t groups = ceil_divide(columns, kPackColumns);
  const auto p = static_cast<std::size_t>(tile / groups);
  const std::int64_t first = tile % groups * kPackColumns;
  kernels.pack(
      launch.form, piece.column, piece.columns, piece.parts[p], piece.task->b, first,
      std::min(first + kPackColumns, columns),
      piece.packed + kernels.packed_columns(piece.columns) * total_depth(piece.parts.first(p)));
}
std::int64_t pack_tiles(const MixedLaunch& launch, const MixedPiece& piece) {
  const HostMixedGemm& kernels = *launch.kernels;
  return static_cast<std::int64_t>(piece.parts.size()) *
         ceil_divide(ceil_divide(piece.columns, kernels.tile_columns), kPackColumns);
}

void multiply_tile(const MixedLaunch& launch, const MixedPiece& piece, std::int64_t tile) {
  const HostMixedGemm& kernels = *launch.kernels;
  const std::int64_t tile_rows = kMixedRowTiles * kernels.tile_rows;
  const std::int64_t i = tile / piece.column_tiles * tile_rows;
  const std::int64_t j = tile % piece.column_tiles * piece.tile_columns;
  const std::int64_t end =
      std::min(j + piece.tile_columns, ceil_divide(piece.columns, kernels.tile_columns));
  const float* packed = piece.packed;
  const bool from_c = launch.form == GemmForm::tn && !piece.is_added;
  GemmStart start = from_c || !piece.begins ? GemmStart::c : GemmStart::zero;
  for (std::size_t p = 0; p < piece.parts.size(); ++p) {
    MixedResult to = result_of(piece, i);
    if (!piece.ends || p + 1 < piece.parts.size()) {
      to.rounded = nullptr;
      to.added = nullptr;
      to.rounds = false;
    }
    kernels.multiply(launch.form, launch.accumulation, start, piece.row + i,
                     std::min(tile_rows, piece.rows - i), piece.columns, piece.parts[p],
                     piece.task->a, piece.task->b.type, packed, j, end, to);
    packed += kernels.packed_columns(piece.columns) * piece.parts[p].depth;
    start = GemmStart::c;
  }
}

std::int64_t cut(const ExecSpace& exec, const MixedLaunch& launch,
                 std::vector<MixedPiece>& pieces) {
  const HostMixedGemm& kernels = *launch.kernels;
  const auto count = [&](std::int64_t columns_at_most) {
    std::int64_t tiles = 0;
    for (MixedPiece& piece : pieces) {
      const std::int64_t columns = ceil_divide(piece.columns, kernels.tile_columns);
      piece.tile_columns = std::min(columns, columns_at_most);
      piece.column_tiles = ceil_divide(columns, piece.tile_columns);
      piece.tile_begin = tiles;
      tiles += ceil_divide(piece.rows, kMixedRowTiles * kernels.tile_rows) * piece.column_tiles;
    }
    return tiles;
  };
  const std::int64_t tiles = count(std::int64_t{1} << 62);
  const std::int64_t threads = exec.concurrency();
  return threads == 1 || tiles >= kTilesPerThread * threads ? tiles : count(kColumnTiles);
}

}  // namespace moray::host
