// Host products of bf16 and FP8 operands on the threads of the backend: b is decoded and packed once
// for all rows, in waves that fit the workspace of gemm(); then tiles of c are dealt to the threads.
#include "kernels/gemm/gemm_workspace.hpp"
#include "kernels/host/host_tiles.hpp"
#include "kernels/host/pieces.hpp"
#include "kernels/mixed_gemm/mixed_gemm_pieces.hpp"

namespace moray::host {
namespace {

/// Columns of a piece where the workspace does not hold all: a is decoded once for each piece.
constexpr std::int64_t kPieceColumns = 512;

/// Cuts tasks into pieces that fit the workspace and runs a wave of them whenever it is full.
class Waves {
 public:
  Waves(const ExecSpace& exec, const MixedLaunch& launch, std::vector<MixedPiece>& pieces)
      : exec_(exec), launch_(launch), kernels_(*launch.kernels), pieces_(pieces) {
    pieces_.clear();
  }

  void add(const MixedGemmTask& task, std::span<const MixedPart> parts) {
    MixedPiece piece;
    piece.task = &task;
    piece.rows = task.m;
    piece.parts = parts;
    const std::int64_t depth = std::max<std::int64_t>(1, total_depth(parts));
    const std::int64_t width =
        space_.capacity() / depth / kernels_.tile_columns * kernels_.tile_columns;
    piece.is_added = launch_.form == GemmForm::tn && launch_.accumulation == Accumulation::limited;
    const bool has_sums = (task.rounded != nullptr || piece.is_added) && parts.size() > 1;
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
    const std::int64_t tiles = cut(exec_, launch_, pieces_);
    host_tiles(label, exec_, tiles, Body<&multiply_tile, &MixedPiece::tile_begin>(*this));
    pieces_.clear();
    used_ = kept_;
  }

 private:
  /// tile_of(number) for the tiles of all pieces.
  template <auto tile_of, std::int64_t MixedPiece::*first>
  struct Body {
    explicit Body(const Waves& w)
        : launch(w.launch_), begin(w.pieces_.data()), end(begin + w.pieces_.size()) {}
    void operator()(const std::int64_t tile) const {
      const MixedPiece& piece = piece_of(begin, end, tile, first);
      tile_of(launch, piece, tile - piece.*first);
    }
    MixedLaunch launch;
    const MixedPiece* begin;
    const MixedPiece* end;
  };

  void pack() {
    static const std::string label = "moray::mixed_gemm::host_pack";
    std::int64_t tiles = 0;
    for (MixedPiece& piece : pieces_) {
      piece.pack_begin = tiles;
      tiles += pack_tiles(launch_, piece);
    }
    host_tiles(label, exec_, tiles, Body<&pack_tile, &MixedPiece::pack_begin>(*this));
  }

  /// A product whose sums are kept in the workspace, or whose b is deeper than it: c in pieces of
  /// columns, and of rows whose sums fit; all ranges of the sum one after the other.
  void add_in_ranges(MixedPiece piece, bool has_sums) {
    const MixedGemmTask& task = *piece.task;
    const std::span<const MixedPart> all = piece.parts;
    const std::int64_t half = space_.capacity() / 2;
    const std::int64_t tile_rows = kMixedRowTiles * kernels_.tile_rows;
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
  std::size_t range(const MixedPiece& piece, std::span<const MixedPart> parts) const {
    const std::int64_t deepest = space_.capacity() / 2 / kernels_.packed_columns(piece.columns);
    std::int64_t depth = 0;
    std::size_t count = 0;
    while (count < parts.size() && depth + parts[count].depth <= deepest) {
      depth += parts[count++].depth;
    }
    return count;
  }

  std::int64_t floats(const MixedPiece& piece) const {
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
  MixedLaunch launch_;
  const HostMixedGemm& kernels_;
  std::vector<MixedPiece>& pieces_;
  GemmWorkspace& space_ = GemmWorkspace::global();
  std::int64_t used_ = 0;
  std::int64_t kept_ = 0;  ///< what outlives a wave
};

}  // namespace

void mixed_gemm(const ExecSpace& exec, const HostMixedGemm& kernels, GemmForm form,
                std::span<const MixedGemmTask> tasks, Accumulation accumulation) {
  static MixedSums sums;
  static std::vector<MixedPiece> pieces;
  sums.cut(tasks);
  Waves waves(exec, {&kernels, form, accumulation}, pieces);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (has_work(form, tasks[i])) waves.add(tasks[i], sums.parts(i));
  }
  waves.run();
}

}  // namespace moray::host
