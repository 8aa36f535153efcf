#pragma once

#include <span>
#include <vector>

#include "kernels/mixed_gemm/mixed_gemm_sums.hpp"

namespace moray::host {

/// Rows of register tiles that a tile of c has.
inline constexpr std::int64_t kMixedRowTiles = 8;

/// A piece of one product: rows and columns of c, and parts of the sum that follow each other.
struct MixedPiece {
  const MixedGemmTask* task = nullptr;
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t column = 0;
  std::int64_t columns = 0;
  std::span<const MixedPart> parts;
  bool begins = true;     ///< its first part is that of the sum
  bool ends = true;       ///< its last part likewise
  bool is_added = false;  ///< the result is added to c, which the sum does not start from
  float* packed = nullptr;
  float* sums = nullptr;  ///< between parts, where not in c: rows of `columns` floats
  std::int64_t pack_begin = 0;
  std::int64_t tile_begin = 0;
  std::int64_t tile_columns = 0;
  std::int64_t column_tiles = 0;
};

/// What the pieces of a launch have in common.
struct MixedLaunch {
  const HostMixedGemm* kernels;
  GemmForm form;
  Accumulation accumulation;
};

/// Tiles of work when the b of a piece is packed, and one of them.
std::int64_t pack_tiles(const MixedLaunch& launch, const MixedPiece& piece);
void pack_tile(const MixedLaunch& launch, const MixedPiece& piece, std::int64_t tile);

/// Cuts the c of each piece into tiles, returns their number, and computes one of them.
std::int64_t cut(const ExecSpace& exec, const MixedLaunch& launch, std::vector<MixedPiece>& pieces);
void multiply_tile(const MixedLaunch& launch, const MixedPiece& piece, std::int64_t tile);

}  // namespace moray::host
