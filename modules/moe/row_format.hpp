#pragma once

#include <cstddef>
#include <cstdint>

#include "core/matrix.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "model/precision.hpp"

namespace moray {

/// What tokens are as rows of bytes, on the wire and in the rows of experts: the numbers of `real`
/// (float32, or float64 in tests), bf16, or E4M3 codes and after them a UE8M0 scale for each 128.
enum class RowFormat { real, bf16, e4m3 };

constexpr RowFormat row_format(Compute reader) {
  return reader == Compute::fp8    ? RowFormat::e4m3
         : reader == Compute::bf16 ? RowFormat::bf16
                                   : RowFormat::real;
}

/// Bytes of a row of `width` numbers, whole words of 4.
template <class Real>
constexpr std::int64_t row_bytes(RowFormat format, std::int64_t width) {
  const std::int64_t bytes = format == RowFormat::e4m3 ? width + scale_blocks(width)
                             : format == RowFormat::bf16
                                 ? 2 * width
                                 : width * static_cast<std::int64_t>(sizeof(Real));
  return (bytes + 3) / 4 * 4;
}

/// Bytes of a sum of `width` numbers on its way back from the products that read rows of a format: bf16, unless `real`.
template <class Real>
constexpr std::int64_t sum_bytes(RowFormat format, std::int64_t width) {
  return width * (format == RowFormat::real ? static_cast<std::int64_t>(sizeof(Real)) : 2);
}

/// Numbers as bytes and back; rows keep their stride.
template <class T>
Matrix<const std::byte> as_bytes(Matrix<const T> x) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  return {reinterpret_cast<const std::byte*>(x.data), x.rows, x.cols * size, x.stride * size};
}
template <class T>
Matrix<std::byte> as_byte_rows(Matrix<T> x) {
  const auto size = static_cast<std::int64_t>(sizeof(T));
  return {reinterpret_cast<std::byte*>(x.data), x.rows, x.cols * size, x.stride * size};
}
template <class Real>
Matrix<Real> as_numbers(Matrix<std::byte> rows) {
  const auto size = static_cast<std::int64_t>(sizeof(Real));
  return {reinterpret_cast<Real*>(rows.data), rows.rows, rows.cols / size, rows.stride / size};
}

/// Rows of x (T, D) in a format; packed (T, row_bytes). E4M3 has scales of powers of two; `scales`
/// (T, ceil(D / 128)) is scratch.
template <class Real>
void pack_rows(const ExecSpace& exec, RowFormat format, Matrix<const Real> x, Matrix<float> scales,
               Matrix<std::byte> packed);

/// The codes of packed E4M3 rows of `width`, with the scales (T, ceil(width / 128)) that they have.
Quantized packed_codes(Matrix<std::byte> packed, std::int64_t width, Matrix<float> scales);
/// The same, with their scales unpacked to (T, ceil(width / 128)).
Quantized row_codes(const ExecSpace& exec, Matrix<std::byte> packed, std::int64_t width,
                    Matrix<float> scales);
/// Packed bf16 rows as an operand.
MixedOperand bf16_rows(Matrix<std::byte> packed, std::int64_t width);

}  // namespace moray
