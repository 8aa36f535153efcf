#pragma once

/// Quantisation for one instruction set, as plain functions over raw pointers. The files that define
/// them are compiled once per instruction set: no Kokkos, no STL here.

#include "kernels/quantize/quantize_rule.hpp"

namespace moray {

/// Columns of a strip of 128 x 1 blocks, which one call of `channels` takes.
inline constexpr std::int64_t kHostStrip = 64;

/// Where codes with a scale for each channel go: `codes` and `scales` of the strip's first column and
/// the block's first row. Distances between neighbours, in elements: `row` and `column` of codes,
/// `scale` of the scales. With column == 1 codes lie as the values, with row == 1 transposed.
struct HostChannels {
  std::uint8_t* codes;
  std::int64_t row;
  std::int64_t column;
  float* scales;
  std::int64_t scale;
};

/// The functions of quantize.hpp and bf16.hpp for a row, a strip or a tile.
struct HostQuantize {
  /// A row of `width` values in blocks of 128, and back.
  void (*tokens)(CodeType type, ScaleRule rule, std::int64_t width, const float* x,
                 std::uint8_t* codes, float* scales);
  void (*swiglu_tokens)(CodeType type, ScaleRule rule, std::int64_t width, const float* g,
                        const float* u, const float* weight, std::uint8_t* codes, float* scales);
  /// Returns r; y may be null.
  float (*rmsnorm_tokens)(CodeType type, ScaleRule rule, std::int64_t width, const float* x,
                          const float* gamma, float eps, float* y, std::uint8_t* codes,
                          float* scales);
  void (*decode_tokens)(CodeType type, std::int64_t width, const std::uint8_t* codes,
                        const float* scales, float* x);
  /// A row with a scale of its own for each value.
  void (*decode_columns)(CodeType type, std::int64_t width, const std::uint8_t* codes,
                         const float* scales, float* x);
  /// Up to 128 rows of up to kHostStrip columns.
  void (*channels)(CodeType type, ScaleRule rule, std::int64_t rows, std::int64_t width,
                   const float* x, std::int64_t stride, HostChannels out);
  /// The same from codes of `tokens`, whose strip lies in one block: scales[t * scale_stride].
  void (*channels_of_codes)(CodeType from, CodeType type, ScaleRule rule, std::int64_t rows,
                            std::int64_t width, const std::uint8_t* codes, std::int64_t stride,
                            const float* scales, std::int64_t scale_stride, HostChannels out);
  /// A tile of up to 128 x 128 with one scale.
  void (*weights)(CodeType type, ScaleRule rule, std::int64_t rows, std::int64_t width,
                  const float* w, std::int64_t stride, std::uint8_t* codes,
                  std::int64_t code_stride, float* scale);
  /// A row to bf16, back, and rounded to it.
  void (*to_bf16)(std::int64_t width, const float* x, std::uint16_t* codes);
  void (*from_bf16)(std::int64_t width, const std::uint16_t* codes, float* x);
  void (*round_to_bf16)(std::int64_t width, float* x);
};

}  // namespace moray
