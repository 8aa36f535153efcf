#pragma once

/// Operands of products as bf16, each number times its power-of-two scale, which is exact: the input of
/// vendor products. Values beyond the range of bf16 become infinite. The file that defines these is
/// compiled once per instruction set: no Kokkos, no STL here.

#include "kernels/mixed_gemm/mixed_numbers.hpp"

namespace moray {

/// A step of a sum that runs over the rows of an operand: a row and the block that has its scales. A
/// negative row is one of zeros.
struct SumStep {
  std::int32_t row;
  std::int32_t block;
};

/// Vendor products read the right operand as words of two bf16 numbers, those of steps 2 p (low half) and
/// 2 p + 1 of a column, in strips of `width` columns: strip s, pair p and column c of it at
/// word[(s pairs + p) width + c]. What lies beyond the operand is zero.
struct PairStrips {
  std::uint32_t* word;
  long width;  ///< a multiple of 16
  long pairs;  ///< of all steps, those of zeros included
};

/// One instruction set's conversions. Strips and rows are written in whole vectors of up to 32 numbers.
struct HostWiden {
  /// A row that runs along the sum: k numbers, then zeros up to `padded`, a multiple of 32.
  void (*row)(const MixedOperand& x, long row, long k, long padded, std::uint16_t* out);
  /// One step of a sum over rows: columns [first, first + count), first a multiple of 8.
  void (*step)(const MixedOperand& x, SumStep step, long first, long count, std::uint16_t* out);
  /// One strip of an operand whose rows run along the sum: `count` rows from `first` on, k steps.
  void (*strip_of_rows)(const MixedOperand& x, long first, long count, long k, std::uint32_t* word,
                        long width, long pairs);
  /// Pair p of all strips, of an operand whose rows are steps: columns [first, first + count), first
  /// a multiple of 8.
  void (*pair_of_steps)(const MixedOperand& x, SumStep even, SumStep odd, long first, long count,
                        const PairStrips& out, long pair);
};

}  // namespace moray
