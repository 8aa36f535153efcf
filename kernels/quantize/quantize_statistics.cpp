#include "kernels/quantize/quantize_statistics.hpp"

#include "core/error.hpp"
#include "core/fp8.hpp"
#include "kernels/quantize/quantize.hpp"

namespace moray {
namespace {

/// Of the blocks of some rows.
struct Counts {
  std::int64_t values = 0, underflow = 0, saturated = 0, clamped = 0;
  std::int32_t least = 0x7fffffff, largest = 0;
};

/// Adds a block: rows [row, end), columns [column, last).
KOKKOS_INLINE_FUNCTION void add_block(const Matrix<const float>& x,
                                      const Matrix<const std::uint8_t>& codes, std::int64_t row,
                                      std::int64_t end, std::int64_t column, std::int64_t last,
                                      Counts& counts) {
  std::int32_t amax = 0;
  for (std::int64_t i = row; i < end; ++i) {
    for (std::int64_t j = column; j < last; ++j) {
      const std::int32_t bits = __builtin_bit_cast(std::int32_t, x(i, j)) & 0x7fffffff;
      const int code = codes(i, j) & 0x7f;
      amax = bits > amax ? bits : amax;
      counts.underflow += static_cast<int>(bits != 0) & static_cast<int>(code == 0);
      counts.saturated += static_cast<int>(code == static_cast<int>(E4m3::kLargest));
    }
  }
  counts.values += (end - row) * (last - column);
  counts.clamped += amax < __builtin_bit_cast(std::int32_t, kLeastAmax) ? 1 : 0;
  counts.least = amax < counts.least ? amax : counts.least;
  counts.largest = amax > counts.largest ? amax : counts.largest;
}

/// Where a scale is counted.
KOKKOS_INLINE_FUNCTION std::int64_t scale_word(float scale) {
  const std::int32_t bits = __builtin_bit_cast(std::int32_t, scale);
  const std::int64_t bin = (bits >> 23 & 255) - 127 - kLeastScaleExponent;
  return QuantizationWord::scales + (bin < 0                 ? 0
                                     : bin < kScaleExponents ? bin
                                                             : kScaleExponents - 1);
}

}  // namespace

void clear_statistics(const ExecSpace& exec, Matrix<std::int64_t> words) {
  static const std::string label = "moray::quantize::clear_statistics";
  MORAY_REQUIRE(words.cols == kStatisticWords);
  parallel_for(
      label, exec, words.rows, KOKKOS_LAMBDA(const std::int64_t i) {
        for (std::int64_t j = 0; j < words.cols; ++j)
          words(i, j) = j == QuantizationWord::least_amax ? kNoAmax : 0;
      });
}

void add_statistics(const ExecSpace& exec, Matrix<const float> x, Matrix<const std::uint8_t> codes,
                    Matrix<const float> scales, std::int64_t block_rows,
                    Vector<std::int64_t> words) {
  static const std::string label = "moray::quantize::add_statistics";
  const std::int64_t down = (x.rows + block_rows - 1) / block_rows;
  MORAY_REQUIRE(codes.rows == x.rows && codes.cols == x.cols && words.size == kStatisticWords);
  MORAY_REQUIRE(scales.rows == down && scales.cols == scale_blocks(x.cols));
  parallel_for(
      label, exec, down, KOKKOS_LAMBDA(const std::int64_t b) {
        const std::int64_t row = b * block_rows;
        const std::int64_t end = row + block_rows < x.rows ? row + block_rows : x.rows;
        Counts counts;
        for (std::int64_t q = 0; q < scales.cols; ++q) {
          const std::int64_t column = q * kScaleBlock;
          const std::int64_t last = column + kScaleBlock < x.cols ? column + kScaleBlock : x.cols;
          add_block(x, codes, row, end, column, last, counts);
          Kokkos::atomic_add(&words[scale_word(scales(b, q))], std::int64_t{1});
        }
        Kokkos::atomic_add(&words[QuantizationWord::values], counts.values);
        Kokkos::atomic_add(&words[QuantizationWord::blocks], std::int64_t{scales.cols});
        Kokkos::atomic_add(&words[QuantizationWord::underflow], counts.underflow);
        Kokkos::atomic_add(&words[QuantizationWord::saturated], counts.saturated);
        Kokkos::atomic_add(&words[QuantizationWord::clamped], counts.clamped);
        Kokkos::atomic_fetch_min(&words[QuantizationWord::least_amax], std::int64_t{counts.least});
        Kokkos::atomic_fetch_max(&words[QuantizationWord::largest_amax],
                                 std::int64_t{counts.largest});
      });
}

}  // namespace moray
