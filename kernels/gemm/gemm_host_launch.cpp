// Host products on the threads of the backend: b is packed once for all rows, in waves that fit the
// workspace; then tiles of c, each all its steps of k, are dealt to the threads.
#include "kernels/gemm/gemm_variants.hpp"
#include "kernels/gemm/gemm_workspace.hpp"
#include "kernels/host/host_tiles.hpp"
#include "kernels/host/pieces.hpp"

namespace moray {
namespace {

/// Register tiles that a tile of c has at most along its rows: enough work to forget the launch,
/// few enough that packed b is read again while it is in the second-level cache.
constexpr std::int64_t kRowTiles = 8;
/// Tiles a thread should find, so that all end at about the same time, and the columns (in
/// register tiles) that a tile keeps at least.
constexpr std::int64_t kTilesPerThread = 4;
constexpr std::int64_t kColumnTiles = 4;
/// Operations that a tile has at most, a millisecond or two of one core. Of several threads the one
/// that moves messages (core/progress.hpp) waits as long for the last tiles of the others.
constexpr std::int64_t kTileOperations = 200'000'000;

/// Column tiles that are packed together: rows of b are read in long pieces.
constexpr std::int64_t kPackColumns = 8;

/// Operands of a product from step l and column j on, whatever the form stores.
const float* left_from(GemmForm form, const GemmTask<float>& t, std::int64_t i, std::int64_t l) {
  return form == GemmForm::tn ? t.a + l * t.lda + i : t.a + i * t.lda + l;
}
const float* right_from(GemmForm form, const GemmTask<float>& t, std::int64_t l, std::int64_t j) {
  return form == GemmForm::nt ? t.b + j * t.ldb + l : t.b + l * t.ldb + j;
}

/// Tile number `tile` of a piece: one block of k of kPackColumns column tiles.
void pack_tile(const HostGemm& host, GemmForm form, const GemmPiece& piece, std::int64_t tile,
               float* packed) {
  const std::int64_t columns = ceil_divide(piece.columns, host.tile_columns);
  const std::int64_t groups = ceil_divide(columns, kPackColumns);
  const std::int64_t first = tile % groups * kPackColumns;
  const std::int64_t l = tile / groups * kGemmBlockDepth;
  host.pack(form, piece.columns, std::min<std::int64_t>(kGemmBlockDepth, piece.depth - l),
            right_from(form, *piece.task, piece.start + l, piece.first), piece.task->ldb, first,
            std::min(first + kPackColumns, columns), packed + host.packed_floats(piece.columns, l));
}
std::int64_t pack_tiles(const HostGemm& host, const GemmPiece& piece) {
  return ceil_divide(piece.depth, kGemmBlockDepth) *
         ceil_divide(ceil_divide(piece.columns, host.tile_columns), kPackColumns);
}

void multiply_tile(const HostGemm& host, GemmForm form, const GemmPiece& piece, std::int64_t tile) {
  const GemmTask<float>& task = *piece.task;
  const std::int64_t i = tile / piece.column_tiles * piece.tile_rows;
  const std::int64_t j = tile % piece.column_tiles * piece.tile_columns;
  const std::int64_t rows = std::min(piece.tile_rows, task.m - i);
  const std::int64_t all = ceil_divide(piece.columns, host.tile_columns);
  float* c = task.c + i * task.ldc + piece.first;
  GemmStart start = form == GemmForm::tn || piece.start > 0 ? GemmStart::c : GemmStart::zero;
  std::int64_t l = 0;
  do {
    const std::int64_t depth = std::min<std::int64_t>(kGemmBlockDepth, piece.depth - l);
    host.multiply(form, start, rows, piece.columns, depth,
                  left_from(form, task, i, piece.start + l), task.lda,
                  piece.packed + host.packed_floats(piece.columns, l), j,
                  std::min(j + piece.tile_columns, all), c, task.ldc);
    start = GemmStart::c;
    l += depth;
  } while (l < piece.depth);
}

/// Column tiles that a tile of c of this piece may have.
std::int64_t most_column_tiles(const HostGemm& host, const GemmPiece& piece) {
  const std::int64_t rows = std::min(piece.tile_rows, piece.task->m);
  const std::int64_t one = 2 * rows * host.tile_columns * std::max<std::int64_t>(piece.depth, 1);
  return std::max<std::int64_t>(kTileOperations / one, 1);
}

/// Cuts the c of each piece into tiles and returns their number. No bit depends on how: a tile goes
/// through all steps of k of its chains.
std::int64_t cut(const ExecSpace& exec, const HostGemm& host, std::vector<GemmPiece>& pieces) {
  const auto count = [&](std::int64_t columns_at_most) {
    std::int64_t tiles = 0;
    for (GemmPiece& piece : pieces) {
      const std::int64_t columns = ceil_divide(piece.columns, host.tile_columns);
      piece.tile_rows = kRowTiles * host.tile_rows;
      piece.tile_columns = std::min({columns, columns_at_most, most_column_tiles(host, piece)});
      piece.row_tiles = ceil_divide(piece.task->m, piece.tile_rows);
      piece.column_tiles = ceil_divide(columns, piece.tile_columns);
      piece.tile_begin = tiles;
      tiles += piece.row_tiles * piece.column_tiles;
    }
    return tiles;
  };
  const std::int64_t tiles = count(std::int64_t{1} << 62);
  const std::int64_t threads = exec.concurrency();
  return threads == 1 || tiles >= kTilesPerThread * threads ? tiles : count(kColumnTiles);
}

/// Multiplies pieces whose b is packed.
void multiply_pieces(const ExecSpace& exec, const HostGemm& host, GemmForm form,
                     std::vector<GemmPiece>& pieces) {
  static const std::string label = "moray::gemm::host_multiply";
  const std::int64_t tiles = cut(exec, host, pieces);
  const GemmPiece* begin = pieces.data();
  const GemmPiece* end = begin + pieces.size();
  host_tiles(label, exec, tiles, [=, &host](const std::int64_t tile) {
    const GemmPiece& piece = piece_of(begin, end, tile, &GemmPiece::tile_begin);
    multiply_tile(host, form, piece, tile - piece.tile_begin);
  });
  pieces.clear();
}

/// Packs the b of pieces, whose `packed` point into storage.
void pack_pieces(const ExecSpace& exec, const HostGemm& host, GemmForm form, float* storage,
                 std::vector<GemmPiece>& pieces) {
  static const std::string label = "moray::gemm::host_pack";
  std::int64_t tiles = 0;
  for (GemmPiece& piece : pieces) {
    piece.pack_begin = tiles;
    tiles += pack_tiles(host, piece);
  }
  const GemmPiece* begin = pieces.data();
  const GemmPiece* end = begin + pieces.size();
  host_tiles(label, exec, tiles, [=, &host](const std::int64_t tile) {
    const GemmPiece& piece = piece_of(begin, end, tile, &GemmPiece::pack_begin);
    pack_tile(host, form, piece, tile - piece.pack_begin, storage + (piece.packed - storage));
  });
}

bool has_work(GemmForm form, const GemmTask<float>& task) {
  return task.m > 0 && task.n > 0 && (task.k > 0 || form != GemmForm::tn);
}

/// Cuts tasks into pieces that fit the workspace and runs a wave whenever it is full. A piece that
/// goes on with the chains of another one begins a wave of its own.
class Waves {
 public:
  Waves(const ExecSpace& exec, const HostGemm& host, GemmForm form)
      : exec_(exec), host_(host), form_(form) {
    space_.pieces().clear();
  }

  void add(const GemmTask<float>& task) {
    const std::int64_t deepest =
        std::max<std::int64_t>(1, space_.capacity() / (kGemmBlockDepth * host_.tile_columns)) *
        kGemmBlockDepth;
    std::int64_t l = 0;
    do {
      const std::int64_t depth = std::min(deepest, task.k - l);
      const std::int64_t widest =
          std::max<std::int64_t>(
              1, space_.capacity() / (std::max<std::int64_t>(1, depth) * host_.tile_columns)) *
          host_.tile_columns;
      if (l > 0) run();
      for (std::int64_t j = 0; j < task.n; j += widest) {
        add_piece(task, j, std::min(widest, task.n - j), l, depth);
      }
      l += depth;
    } while (l < task.k);
  }

  void run() {
    pack_pieces(exec_, host_, form_, space_.storage(), space_.pieces());
    multiply_pieces(exec_, host_, form_, space_.pieces());
    used_ = 0;
  }

 private:
  void add_piece(const GemmTask<float>& task, std::int64_t first, std::int64_t columns,
                 std::int64_t start, std::int64_t depth) {
    const std::int64_t floats = host_.packed_floats(columns, depth);
    if (used_ + floats > space_.capacity()) run();
    GemmPiece piece;
    piece.task = &task;
    piece.first = first;
    piece.columns = columns;
    piece.start = start;
    piece.depth = depth;
    piece.packed = space_.storage() + used_;
    space_.pieces().push_back(piece);
    used_ += floats;
  }

  const ExecSpace& exec_;
  const HostGemm& host_;
  GemmForm form_;
  GemmWorkspace& space_ = GemmWorkspace::global();
  std::int64_t used_ = 0;
};

}  // namespace

void gemm_host(const ExecSpace& exec, const HostGemm& host, GemmForm form,
               std::span<const GemmTask<float>> tasks) {
  Waves waves(exec, host, form);
  for (const GemmTask<float>& task : tasks) {
    if (has_work(form, task)) waves.add(task);
  }
  waves.run();
}

void gemm_host_packed(const ExecSpace& exec, const HostGemm& host, GemmForm form,
                      std::span<const GemmTask<float>> tasks) {
  std::vector<GemmPiece>& pieces = GemmWorkspace::global().pieces();
  pieces.clear();
  for (const GemmTask<float>& task : tasks) {
    if (!has_work(form, task)) continue;
    GemmPiece piece;
    piece.task = &task;
    piece.columns = task.n;
    piece.depth = task.k;
    piece.packed = task.b;
    pieces.push_back(piece);
  }
  multiply_pieces(exec, host, form, pieces);
}

void gemm_host_pack(const ExecSpace& exec, const HostGemm& host, GemmForm form,
                    const GemmTask<float>& task, float* storage) {
  std::vector<GemmPiece>& pieces = GemmWorkspace::global().pieces();
  pieces.clear();
  GemmPiece piece;
  piece.task = &task;
  piece.columns = task.n;
  piece.depth = task.k;
  piece.packed = storage;
  pieces.push_back(piece);
  pack_pieces(exec, host, form, storage, pieces);
  pieces.clear();
}

}  // namespace moray
