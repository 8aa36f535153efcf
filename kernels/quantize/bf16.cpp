#include "kernels/quantize/bf16.hpp"

#include "core/bf16.hpp"
#include "core/error.hpp"
#include "kernels/elementwise/for_pieces.hpp"
#include "kernels/host/host_rows.hpp"
#include "kernels/quantize/quantize_variants.hpp"

namespace moray {
namespace portable {

void to_bf16(const ExecSpace& exec, Matrix<const float> x, Matrix<std::uint16_t> codes) {
  static const std::string label = "moray::quantize::to_bf16";
  for_pieces(
      label, exec, x.rows, x.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        const float* from = x.row(i);
        std::uint16_t* to = codes.row(i);
        for (std::int64_t j = begin; j < end; ++j) to[j] = bf16_encode(from[j]);
      });
}

void from_bf16(const ExecSpace& exec, Matrix<const std::uint16_t> codes, Matrix<float> x) {
  static const std::string label = "moray::quantize::from_bf16";
  for_pieces(
      label, exec, x.rows, x.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        const std::uint16_t* from = codes.row(i);
        float* to = x.row(i);
        for (std::int64_t j = begin; j < end; ++j) to[j] = bf16_decode(from[j]);
      });
}

void round_to_bf16(const ExecSpace& exec, Matrix<float> x) {
  static const std::string label = "moray::quantize::round_to_bf16";
  for_pieces(
      label, exec, x.rows, x.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        float* row = x.row(i);
        for (std::int64_t j = begin; j < end; ++j) row[j] = bf16_decode(bf16_encode(row[j]));
      });
}

}  // namespace portable

void to_bf16(const ExecSpace& exec, Matrix<const float> x, Matrix<std::uint16_t> codes) {
  MORAY_REQUIRE(x.rows == codes.rows && x.cols == codes.cols);
  if (const HostKernels* host = selected_host_kernels(Op::quantize))
    return host::to_bf16(exec, *host->quantize, x, codes);
  portable::to_bf16(exec, x, codes);
}

void from_bf16(const ExecSpace& exec, Matrix<const std::uint16_t> codes, Matrix<float> x) {
  MORAY_REQUIRE(x.rows == codes.rows && x.cols == codes.cols);
  if (const HostKernels* host = selected_host_kernels(Op::quantize))
    return host::from_bf16(exec, *host->quantize, codes, x);
  portable::from_bf16(exec, codes, x);
}

void round_to_bf16(const ExecSpace& exec, Matrix<float> x) {
  if (const HostKernels* host = selected_host_kernels(Op::quantize))
    return host::round_to_bf16(exec, *host->quantize, x);
  portable::round_to_bf16(exec, x);
}

}  // namespace moray
