#pragma once

#include "core/fp8.hpp"

/// The types of quantised numbers and the choice of a scale, for every variant: docs/fp8.md section
/// 2. No Kokkos and no STL here, since host micro-kernels include it.
namespace moray {

/// What a code is: core/fp8.hpp.
enum class CodeType { e4m3, e5m2, e5m6 };

/// float32: the largest magnitude becomes the largest code. power_of_two: the least power of two that
/// is no smaller, chosen before anything is divided by it.
enum class ScaleRule { float32, power_of_two };

/// Values that share a scale, along a row or a column.
inline constexpr std::int64_t kScaleBlock = 128;
/// The least largest magnitude: a block of zeros has a scale too.
inline constexpr float kLeastAmax = 1e-4F;

/// 1 to 128 consecutive rows that share a scale for each channel. Blocks along tokens start anew with
/// each sequence, and each expert's rows of a sequence, so that no layout shows in them.
struct RowBlock {
  std::int32_t begin;
  std::int32_t count;
};

}  // namespace moray

namespace MORAY_FUNCTIONS_NAMESPACE {

MORAY_FUNCTION float largest_value(CodeType type) {
  return type == CodeType::e4m3   ? E4m3::kLargestValue
         : type == CodeType::e5m2 ? E5m2::kLargestValue
                                  : E5m6::kLargestValue;
}

/// A block's scale and the factor that its values are multiplied by before they are encoded.
struct BlockScale {
  float scale;
  float inverse;
};

/// From the bits of the largest magnitude of a block, which as integers order NaN above infinity
/// above numbers. A block with either has a NaN for a scale, and so becomes NaN throughout.
MORAY_FUNCTION BlockScale block_scale(std::int32_t amax_bits, float largest, ScaleRule rule) {
  if (amax_bits >= 0x7f800000) {
    const float nan = ScalarLanes::real(0x7fc00000);
    return {nan, nan};
  }
  float amax = ScalarLanes::real(amax_bits);
  amax = amax < kLeastAmax ? kLeastAmax : amax;
  const float scale = amax / largest;
  if (rule == ScaleRule::float32) return {scale, largest / amax};
  const float power = power_of_two_above(scale);
  return {power, 1.0F / power};  // exact
}

}  // namespace MORAY_FUNCTIONS_NAMESPACE
