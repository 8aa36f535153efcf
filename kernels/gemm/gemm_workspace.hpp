#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/gemm/gemm.hpp"

namespace moray {

/// A piece of one product that is packed and multiplied as one: columns [first, first + columns) of
/// c over `depth` steps of k from `start`, all rows. Its tiles are counted through all pieces.
struct GemmPiece {
  const GemmTask<float>* task = nullptr;
  std::int64_t first = 0;
  std::int64_t columns = 0;
  std::int64_t start = 0;
  std::int64_t depth = 0;
  const float* packed = nullptr;
  std::int64_t pack_begin = 0;  ///< number of its first tile among the tiles to pack
  std::int64_t tile_begin = 0;  ///< and among the tiles to multiply
  std::int64_t row_tiles = 0;   ///< its tiles: row_tiles times column_tiles
  std::int64_t column_tiles = 0;
  std::int64_t tile_rows = 0;
  std::int64_t tile_columns = 0;
};

/// What host products need beside their operands: packed columns of b, of a size that depends on
/// the threads alone, and the lists of pieces and tasks. One for the process: a rank runs one product at a
/// time, whose tiles share it.
class GemmWorkspace {
 public:
  static GemmWorkspace& global();
  /// Floats that a process with so many threads has.
  static std::int64_t capacity_for(std::int64_t threads);

  /// Floats that fit. The same for every product, so nothing grows in a step.
  std::int64_t capacity() const { return capacity_; }
  /// Allocates on the first call.
  float* storage();
  std::vector<GemmPiece>& pieces() { return pieces_; }
  std::vector<GemmTask<float>>& tasks() { return tasks_; }

 private:
  GemmWorkspace();
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::int64_t capacity_;
  std::unique_ptr<float, Free> storage_;
  std::vector<GemmPiece> pieces_;
  std::vector<GemmTask<float>> tasks_;
};

}  // namespace moray
