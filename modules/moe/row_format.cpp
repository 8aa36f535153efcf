#include "moe/row_format.hpp"

#include "core/error.hpp"
#include "core/fp8.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/quantize/bf16.hpp"

namespace moray {
namespace {

Matrix<std::uint16_t> bf16_matrix(Matrix<std::byte> packed, std::int64_t width) {
  return {reinterpret_cast<std::uint16_t*>(packed.data), packed.rows, width, packed.stride / 2};
}

Matrix<std::uint8_t> code_matrix(Matrix<std::byte> packed, std::int64_t width) {
  return {reinterpret_cast<std::uint8_t*>(packed.data), packed.rows, width, packed.stride};
}

void pack_scales(const ExecSpace& exec, Matrix<const float> scales, Matrix<std::uint8_t> out) {
  static const std::string label = "moray::moe::pack_scales";
  parallel_for(
      label, exec, out.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        for (std::int64_t q = 0; q < scales.cols; ++q) out(t, q) = ue8m0_encode(scales(t, q));
        for (std::int64_t q = scales.cols; q < out.cols; ++q) out(t, q) = 0;  // to a whole word
      });
}

void unpack_scales(const ExecSpace& exec, Matrix<const std::uint8_t> packed, Matrix<float> scales) {
  static const std::string label = "moray::moe::unpack_scales";
  parallel_for(
      label, exec, scales.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        for (std::int64_t q = 0; q < scales.cols; ++q) scales(t, q) = ue8m0_decode(packed(t, q));
      });
}

/// What follows the codes of a row.
Matrix<std::uint8_t> scale_bytes(Matrix<std::byte> packed, std::int64_t width) {
  return {reinterpret_cast<std::uint8_t*>(packed.data) + width, packed.rows, packed.cols - width,
          packed.stride};
}

}  // namespace

template <class Real>
void pack_rows(const ExecSpace& exec, RowFormat format, Matrix<const Real> x, Matrix<float> scales,
               Matrix<std::byte> packed) {
  MORAY_REQUIRE(packed.rows == x.rows && packed.cols == row_bytes<Real>(format, x.cols));
  if (format == RowFormat::real) return copy<Real>(exec, x, as_numbers<Real>(packed));
  if constexpr (std::is_same_v<Real, float>) {
    if (format == RowFormat::bf16) return to_bf16(exec, x, bf16_matrix(packed, x.cols));
    quantize_tokens(exec, x, ScaleRule::power_of_two,
                    {CodeType::e4m3, code_matrix(packed, x.cols), scales});
    pack_scales(exec, scales, scale_bytes(packed, x.cols));
  }
}

Quantized packed_codes(Matrix<std::byte> packed, std::int64_t width, Matrix<float> scales) {
  return {CodeType::e4m3, code_matrix(packed, width), scales};
}

Quantized row_codes(const ExecSpace& exec, Matrix<std::byte> packed, std::int64_t width,
                    Matrix<float> scales) {
  unpack_scales(exec, scale_bytes(packed, width), scales);
  return packed_codes(packed, width, scales);
}

MixedOperand bf16_rows(Matrix<std::byte> packed, std::int64_t width) {
  return operand(bf16_matrix(packed, width));
}

template void pack_rows(const ExecSpace&, RowFormat, Matrix<const float>, Matrix<float>,
                        Matrix<std::byte>);
template void pack_rows(const ExecSpace&, RowFormat, Matrix<const double>, Matrix<float>,
                        Matrix<std::byte>);

}  // namespace moray
