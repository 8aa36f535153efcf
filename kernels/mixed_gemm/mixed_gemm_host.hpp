#pragma once

/// Products of bf16 and FP8 operands for one instruction set, as plain functions over raw pointers. The
/// file that defines them is compiled once per instruction set: no Kokkos, no STL here.

#include "kernels/gemm/gemm_form.hpp"
#include "kernels/gemm/gemm_host.hpp"
#include "kernels/mixed_gemm/mixed_numbers.hpp"

namespace moray {

/// A piece of the sum that is packed and multiplied as one: blocks of steps, each promoted when the
/// operands have scales, else parts of one chain. Its steps and blocks together are at most
/// kMixedDepth, so that a packed row tile of a stays in the first-level cache.
struct MixedPart {
  const RowBlock* blocks = nullptr;
  long count = 0;
  long first = 0;  ///< number of its first block, which says where the scales are
  long depth = 0;  ///< floats of a packed column: steps, and a scale for each block
};
inline constexpr long kMixedDepth = 520;

/// Where a product goes. `c` holds the sums between two parts; with `rounded` the result is not
/// written there but rounded to bf16, with `added` it is added to what is there; with `rounds` it is
/// written to c, rounded.
struct MixedResult {
  float* c = nullptr;
  long ldc = 0;
  std::uint16_t* rounded = nullptr;
  float* added = nullptr;
  long ldr = 0;  ///< of rounded or added
  bool rounds = false;
};

/// One instruction set's product. Scratch is aligned to 64 bytes.
struct HostMixedGemm {
  /// Register tile: rows of a by columns of b.
  long tile_rows;
  long tile_columns;

  /// Columns of packed b, padded to whole vectors: a part takes depth times as many floats.
  long (*packed_columns)(long n);
  /// Decodes and packs column tiles [tile_begin, tile_end) of the n columns of b from `column` on, a
  /// multiple of tile_columns; each block's scales lie in front of its numbers.
  void (*pack)(GemmForm form, long column, long n, const MixedPart& part, const MixedOperand& b,
               long tile_begin, long tile_end, float* packed);
  /// The m rows from `row` on, a multiple of tile_rows and of 8, of a times packed b, of this type, for column tiles
  /// [tile_begin, tile_end). `to` points to their first row and column 0 of the packed b. Each
  /// element starts from +0 or from c and is returned as c + 0.
  void (*multiply)(GemmForm form, Accumulation accumulation, GemmStart start, long row, long m,
                   long n, const MixedPart& part, const MixedOperand& a, NumberType b,
                   const float* packed, long tile_begin, long tile_end, const MixedResult& to);
};

}  // namespace moray
