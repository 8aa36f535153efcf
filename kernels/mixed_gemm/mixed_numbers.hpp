#pragma once

#include "kernels/quantize/quantize_rule.hpp"

/// What the variants of mixed_gemm() share. No Kokkos and no STL here, since host micro-kernels
/// include it.
namespace moray {

/// What the numbers of an operand are: core/bf16.hpp, core/fp8.hpp.
enum class NumberType { bf16, e4m3, e5m2, e5m6 };

/// How products of FP8 numbers are summed. `exact` is the definition. The others are a model of the
/// tensor cores of Hopper, whose accumulator keeps 14 bits, there to study its error: promoted to
/// float32 after each block, or not at all.
enum class Accumulation { exact, limited_promoted, limited };

/// An operand as it is stored. FP8 numbers have scales, bf16 numbers none.
///
/// The extent over which a product sums is cut into blocks (mixed_gemm.hpp); the scale of block q and
/// the other index i lies where the block's numbers lie: at scales[i / shared * scale_stride + q] when
/// a row of the operand runs along the sum, at scales[q * scale_stride + i / shared] when a column
/// does.
struct MixedOperand {
  NumberType type = NumberType::bf16;
  const void* data = nullptr;
  std::int64_t stride = 0;  ///< bytes from a row to the next
  const float* scales = nullptr;
  std::int64_t scale_stride = 0;
  std::int64_t shared = 1;  ///< rows, or columns, with a scale in common: 128 for weights
  /// How the scales were chosen. With power_of_two every number times its scale is a bf16 number, which
  /// vendor variants need; exact ones do not look.
  ScaleRule rule = ScaleRule::float32;
};

}  // namespace moray
