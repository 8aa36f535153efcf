#pragma once

#include <cstdint>

#include "core/matrix.hpp"

/// What became of values that were quantised to E4M3 with a scale for each block: docs/fp8.md section 4.
namespace moray {

/// Where each number is among the words of one tensor's statistics. Numbers of a tensor in parts, on
/// ranks or in micro-batches, are the sums of those of the parts, or the least or largest of them: all
/// are integers, so that no order shows.
struct QuantizationWord {
  enum : std::int64_t {
    values,
    blocks,
    underflow,     ///< values that were not zero and whose code is
    saturated,     ///< codes of the largest magnitude, 448
    clamped,       ///< blocks with an amax below 1e-4, whose scale is that of 1e-4
    least_amax,    ///< float32 bits of the least amax of a block; kNoAmax before the first block
    largest_amax,  ///< float32 bits; an infinity is above all numbers, a NaN above that
    scales,        ///< blocks with a scale in [2^e, 2^(e + 1)), for e from kLeastScaleExponent on
  };
};
inline constexpr std::int64_t kNoAmax = 0x7fffffff;
/// No scale is below 1e-4 / 448. The last count has all larger scales too.
inline constexpr std::int64_t kLeastScaleExponent = -24;
inline constexpr std::int64_t kScaleExponents = 48;
inline constexpr std::int64_t kStatisticWords = QuantizationWord::scales + kScaleExponents;

/// Statistics of nothing: words (tensors, kStatisticWords).
void clear_statistics(const ExecSpace& exec, Matrix<std::int64_t> words);

/// Adds what became of x (T, C) as E4M3 codes (T, C) with scales (ceil(T / block_rows), ceil(C / 128)):
/// block_rows is 1 for quantize_tokens and 128 for quantize_weights. words (kStatisticWords). A launch
/// may run beside others that add to the same words.
void add_statistics(const ExecSpace& exec, Matrix<const float> x, Matrix<const std::uint8_t> codes,
                    Matrix<const float> scales, std::int64_t block_rows,
                    Vector<std::int64_t> words);

}  // namespace moray
