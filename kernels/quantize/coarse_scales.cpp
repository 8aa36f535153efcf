#include "kernels/quantize/coarse_scales.hpp"

#include "core/error.hpp"
#include "core/fp8.hpp"

namespace moray {
namespace {

KOKKOS_INLINE_FUNCTION std::int32_t magnitude_bits(float x) {
  return __builtin_bit_cast(std::int32_t, x) & 0x7fffffff;
}

/// Rounds a block in place of out.
KOKKOS_INLINE_FUNCTION void round_block(const Matrix<const float>& x, std::int64_t row,
                                        std::int64_t rows, std::int64_t column,
                                        std::int64_t columns, const Matrix<float>& out) {
  std::int32_t amax = 0;
  for (std::int64_t i = row; i < row + rows; ++i) {
    for (std::int64_t j = column; j < column + columns; ++j) {
      const std::int32_t bits = magnitude_bits(x(i, j));
      amax = bits > amax ? bits : amax;
    }
  }
  const BlockScale scale = block_scale(amax, E4m3::kLargestValue, ScaleRule::power_of_two);
  for (std::int64_t i = row; i < row + rows; ++i) {
    for (std::int64_t j = column; j < column + columns; ++j)
      out(i, j) = e4m3_decode(e4m3_encode(x(i, j) * scale.inverse)) * scale.scale;
  }
}

}  // namespace

void round_with_one_scale(const ExecSpace& exec, Matrix<const float> x, Matrix<float> out) {
  static const std::string label = "moray::quantize::round_with_one_scale";
  MORAY_REQUIRE(x.rows == out.rows && x.cols == out.cols);
  parallel_for(
      label, exec, 1,
      KOKKOS_LAMBDA(const std::int64_t) { round_block(x, 0, x.rows, 0, x.cols, out); });
}

void round_with_block_scales(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const RowBlock> blocks, std::int64_t columns,
                             Matrix<float> out) {
  static const std::string label = "moray::quantize::round_with_block_scales";
  MORAY_REQUIRE(x.rows == out.rows && x.cols == out.cols && columns > 0);
  const std::int64_t across = (x.cols + columns - 1) / columns;
  parallel_for(
      label, exec, blocks.size * across, KOKKOS_LAMBDA(const std::int64_t item) {
        const RowBlock block = blocks[item / across];
        const std::int64_t first = item % across * columns;
        const std::int64_t rest = x.cols - first;
        round_block(x, block.begin, block.count, first, rest < columns ? rest : columns, out);
      });
}

}  // namespace moray
