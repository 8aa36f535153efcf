// Host products of bf16 and FP8 operands on the threads of the backend: b is decoded and packed once
// for all rows, in waves that fit the workspace of gemm(); then tiles of c are dealt to the threads.
#include "kernels/gemm/gemm_workspace.hpp"
#include "kernels/host/host_tiles.hpp"
#include "kernels/host/pieces.hpp"
#include "kernels/mixed_gemm/mixed_gemm_sums.hpp"

namespace moray::host {
namespace {

/// Register tiles that a tile of c has along its rows; tiles that a thread should find; the least
/// columns, in register tiles, that are worth decoding a sliver of a for.
constexpr std::int64_t kRowTiles = 8;
constexpr std::int64_t kTilesPerThread = 4;
constexpr std::int64_t kColumnTiles = 8;
/// Column tiles that are packed together.
constexpr std::int64_t kPackColumns = 8;
/// Columns of a piece where the workspace does not hold all: a is decoded once for each piece.
constexpr std::int64_t kPieceColumns = 512;

/// A piece of one product: rows and columns of c, and parts of the sum that follow each other.
struct Piece {
  const MixedGemmTask* task = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t column = 0;
  std::int64_t columns = 0;
  std::span<const MixedPart> parts;
  bool begins = true;  ///< its first part is that of the sum
  bool ends = true;    ///< its last part likewise
  float* packed = nullptr;
  float* sums = nullptr;  ///< of a bf16 result, between parts: rows of `columns` floats
  std::int64_t pack_begin = 0;
  std::int64_t tile_begin = 0;
  std::int64_t tile_columns = 0;
  std::int64_t column_tiles = 0;
};

/// One part of kPackColumns column tiles.
void pack_tile(const HostMixedGemm& kernels, GemmForm form, const Piece& piece, std::int64_t tile) {
  const std::int64_t columns = ceil_divide(piece.columns, kernels.tile_columns);
  const std::int64_t groups = ceil_divide(columns, kPackColumns);
  const auto p = static_cast<std::size_t>(tile / groups);
  const std::int64_t first = tile % groups * kPackColumns;
  kernels.pack(
      form, piece.column, piece.columns, piece.parts[p], piece.task->b, first,
      std::min(first + kPackColumns, columns),
      piece.packed + kernels.packed_columns(piece.columns) * total_depth(piece.parts.first(p)));
}
std::int64_t pack_tiles(const HostMixedGemm& kernels, const Piece& piece) {
  return static_cast<std::int64_t>(piece.parts.size()) *
         ceil_divide(ceil_divide(piece.columns, kernels.tile_columns), kPackColumns);
}

/// Row i of a piece: where its sums are and where its bf16 go.
MixedResult result_of(const Piece& piece, std::int64_t i) {
  const MixedGemmTask& t = *piece.task;
  const std::int64_t at = (piece.row + i) * t.ldc + piece.column;
  if (t.rounded == nullptr) return {t.c + at, t.ldc, nullptr, 0};
  float* sums = piece.sums == nullptr ? nullptr : piece.sums + i * piece.columns;
  return {sums, piece.columns, t.rounded + at, t.ldc};
}

void multiply_tile(const HostMixedGemm& kernels, GemmForm form, const Piece& piece,
                   std::int64_t tile) {
  const std::int64_t tile_rows = kRowTiles * kernels.tile_rows;
  const std::int64_t i = tile / piece.column_tiles * tile_rows;
  const std::int64_t j = tile % piece.column_tiles * piece.tile_columns;
  const std::int64_t end =
      std::min(j + piece.tile_columns, ceil_divide(piece.columns, kernels.tile_columns));
  const float* packed = piece.packed;
  GemmStart start = form == GemmForm::tn || !piece.begins ? GemmStart::c : GemmStart::zero;
  for (std::size_t p = 0; p < piece.parts.size(); ++p) {
    MixedResult to = result_of(piece, i);
    if (!piece.ends || p + 1 < piece.parts.size()) to.rounded = nullptr;
    kernels.multiply(form, start, piece.row + i, std::min(tile_rows, piece.rows - i), piece.columns,
                     piece.parts[p], piece.task->a, packed, j, end, to);
    packed += kernels.packed_columns(piece.columns) * piece.parts[p].depth;
    start = GemmStart::c;
  }
}

/// Cuts the c of each piece into tiles and returns their number.
std::int64_t cut(const ExecSpace& exec, const HostMixedGemm& kernels, std::vector<Piece>& pieces) {
  const auto count = [&](std::int64_t columns_at_most) {
    std::int64_t tiles = 0;
    for (Piece& piece : pieces) {
      const std::int64_t columns = ceil_divide(piece.columns, kernels.tile_columns);
      piece.tile_columns = std::min(columns, columns_at_most);
      piece.column_tiles = ceil_divide(columns, piece.tile_columns);
      piece.tile_begin = tiles;
      tiles += ceil_divide(piece.rows, kRowTiles * kernels.tile_rows) * piece.column_tiles;
    }
    return tiles;
  };
  const std::int64_t tiles = count(std::int64_t{1} << 62);
  const std::int64_t threads = exec.concurrency();
  return threads == 1 || tiles >= kTilesPerThread * threads ? tiles : count(kColumnTiles);
}

/// Cuts tasks into pieces that fit the workspace and runs a wave of them whenever it is full.
class Waves {
 public:
  Waves(const ExecSpace& exec, const HostMixedGemm& kernels, GemmForm form,
        std::vector<Piece>& pieces)
      : exec_(exec), kernels_(kernels), form_(form), pieces_(pieces) {
    pieces_.clear();
  }

  void add(const MixedGemmTask& task, std::span<const MixedPart> parts) {
    Piece piece;
    piece.task = &task;
    piece.rows = task.m;
    piece.parts = parts;
    const std::int64_t depth = std::max<std::int64_t>(1, total_depth(parts));
    const std::int64_t width =
        space_.capacity() / depth / kernels_.tile_columns * kernels_.tile_columns;
    const bool has_sums = task.rounded != nullptr && parts.size() > 1;
    if (has_sums || width < std::min(kPieceColumns, kernels_.packed_columns(task.n))) {
      return add_in_ranges(piece, has_sums);
    }
    for (piece.column = 0; piece.column < task.n; piece.column += width) {
      piece.columns = std::min(width, task.n - piece.column);
      piece.packed = place(floats(piece));
      pieces_.push_back(piece);
    }
  }

  void run() {
    pack();
    static const std::string label = "moray::mixed_gemm::host_multiply";
    const std::int64_t tiles = cut(exec_, kernels_, pieces_);
    host_tiles(label, exec_, tiles, Body<&multiply_tile, &Piece::tile_begin>(*this));
    pieces_.clear();
    used_ = kept_;
  }

 private:
  /// tile_of(number) for the tiles of all pieces.
  template <auto tile_of, std::int64_t Piece::*first>
  struct Body {
    explicit Body(const Waves& w)
        : kernels(&w.kernels_),
          form(w.form_),
          begin(w.pieces_.data()),
          end(begin + w.pieces_.size()) {}
    void operator()(const std::int64_t tile) const {
      const Piece& piece = piece_of(begin, end, tile, first);
      tile_of(*kernels, form, piece, tile - piece.*first);
    }
    const HostMixedGemm* kernels;
    GemmForm form;
    const Piece* begin;
    const Piece* end;
  };

  void pack() {
    static const std::string label = "moray::mixed_gemm::host_pack";
    std::int64_t tiles = 0;
    for (Piece& piece : pieces_) {
      piece.pack_begin = tiles;
      tiles += pack_tiles(kernels_, piece);
    }
    host_tiles(label, exec_, tiles, Body<&pack_tile, &Piece::pack_begin>(*this));
  }

  /// A product whose sums are kept in the workspace, or whose b is deeper than it: c in pieces of
  /// columns, and of rows whose sums fit; all ranges of the sum one after the other.
  void add_in_ranges(Piece piece, bool has_sums) {
    const MixedGemmTask& task = *piece.task;
    const std::span<const MixedPart> all = piece.parts;
    const std::int64_t half = space_.capacity() / 2;
    const std::int64_t tile_rows = kRowTiles * kernels_.tile_rows;
    const std::int64_t rows = has_sums ? half / kPieceColumns / tile_rows * tile_rows : task.m;
    for (piece.row = 0; piece.row < task.m; piece.row += rows) {
      piece.rows = std::min(rows, task.m - piece.row);
      for (piece.column = 0; piece.column < task.n; piece.column += kPieceColumns) {
        piece.columns = std::min(kPieceColumns, task.n - piece.column);
        const std::int64_t sums = has_sums ? piece.rows * piece.columns : 0;
        std::size_t count = range(piece, all);
        if (count == all.size()) {
          piece.begins = piece.ends = true;
          piece.parts = all;
          piece.packed = place(floats(piece) + aligned(sums));
          piece.sums = has_sums ? piece.packed + floats(piece) : nullptr;
          pieces_.push_back(piece);
          continue;
        }
        run();
        piece.sums = has_sums ? place(aligned(sums)) : nullptr;
        kept_ = used_;
        for (std::size_t p = 0; p < all.size(); p += count) {
          count = range(piece, all.subspan(p));
          piece.parts = all.subspan(p, count);
          piece.begins = p == 0;
          piece.ends = p + count == all.size();
          piece.packed = place(floats(piece));
          pieces_.push_back(piece);
          run();
        }
        used_ = kept_ = 0;
      }
    }
  }

  /// How many of these parts fit half the workspace when packed.
  std::size_t range(const Piece& piece, std::span<const MixedPart> parts) const {
    const std::int64_t deepest = space_.capacity() / 2 / kernels_.packed_columns(piece.columns);
    std::int64_t depth = 0;
    std::size_t count = 0;
    while (count < parts.size() && depth + parts[count].depth <= deepest) {
      depth += parts[count++].depth;
    }
    return count;
  }

  std::int64_t floats(const Piece& piece) const {
    return kernels_.packed_columns(piece.columns) * total_depth(piece.parts);
  }
  static std::int64_t aligned(std::int64_t floats) { return ceil_divide(floats, 16) * 16; }

  float* place(std::int64_t floats) {
    if (used_ + aligned(floats) > space_.capacity()) run();
    float* at = space_.storage() + used_;
    used_ += aligned(floats);
    return at;
  }

  const ExecSpace& exec_;
  const HostMixedGemm& kernels_;
  GemmForm form_;
  std::vector<Piece>& pieces_;
  GemmWorkspace& space_ = GemmWorkspace::global();
  std::int64_t used_ = 0;
  std::int64_t kept_ = 0;  ///< what outlives a wave
};

}  // namespace

void mixed_gemm(const ExecSpace& exec, const HostMixedGemm& kernels, GemmForm form,
                std::span<const MixedGemmTask> tasks) {
  static MixedSums sums;
  static std::vector<Piece> pieces;
  sums.cut(tasks);
  Waves waves(exec, kernels, form, pieces);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (has_work(form, tasks[i])) waves.add(tasks[i], sums.parts(i));
  }
  waves.run();
}

}  // namespace moray::host
