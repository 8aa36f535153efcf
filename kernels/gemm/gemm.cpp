#include "kernels/gemm/gemm.hpp"

#include "core/error.hpp"
#include "kernels/gemm/gemm_variants.hpp"
#include "kernels/gemm/gemm_vendor.hpp"
#include "kernels/host/host_kernels.hpp"

namespace moray {

void gemm_variant(const ExecSpace& exec, Variant variant, GemmForm form,
                  std::span<const GemmTask<float>> tasks) {
  if (const HostKernels* host = host_kernels(variant)) {
    return gemm_host(exec, *host->gemm, form, tasks);
  }
#if defined(MORAY_HAVE_BLAS)
  if (variant == Variant::blas) return gemm_blas(exec, form, tasks);
#endif
#if defined(MORAY_HAVE_ONEDNN)
  if (variant == Variant::onednn) return gemm_onednn(exec, form, tasks);
#endif
#if defined(MORAY_HAVE_KOKKOS_KERNELS)
  if (variant == Variant::kokkos_kernels) return gemm_kokkos_kernels(exec, form, tasks);
#endif
  MORAY_REQUIRE(variant == Variant::portable);
  gemm_portable(exec, form, tasks);
}

template <>
void gemm(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<float>> tasks) {
  gemm_variant(exec, selected_variant(Op::gemm), form, tasks);
}

/// float64 serves gradient checks and scalars: portable alone.
template <>
void gemm(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<double>> tasks) {
  gemm_portable(exec, form, tasks);
}

std::string gemm_description(Variant variant) {
#if defined(MORAY_HAVE_BLAS)
  if (variant == Variant::blas) return blas_description();
#endif
#if defined(MORAY_HAVE_ONEDNN)
  if (variant == Variant::onednn) return onednn_description();
#endif
  return std::string(variant_name(variant));
}

bool gemm_is_avx512(Variant variant) {
#if defined(MORAY_HAVE_BLAS)
  if (variant == Variant::blas) return blas_is_avx512();
#endif
  return variant == Variant::host_v4;
}

template <class Real>
void gemm(const ExecSpace& exec, GemmForm form, Matrix<const Real> a, Matrix<const Real> b,
          Matrix<Real> c) {
  const bool a_transposed = form == GemmForm::tn;
  const bool b_transposed = form == GemmForm::nt;
  const std::int64_t k = a_transposed ? a.rows : a.cols;
  MORAY_REQUIRE((a_transposed ? a.cols : a.rows) == c.rows);
  MORAY_REQUIRE((b_transposed ? b.rows : b.cols) == c.cols);
  MORAY_REQUIRE((b_transposed ? b.cols : b.rows) == k);
  const GemmTask<Real> task = {a.data,   a.stride, b.data, b.stride, c.data,
                               c.stride, c.rows,   c.cols, k};
  gemm<Real>(exec, form, {&task, 1});
}

template void gemm(const ExecSpace&, GemmForm, Matrix<const float>, Matrix<const float>,
                   Matrix<float>);
template void gemm(const ExecSpace&, GemmForm, Matrix<const double>, Matrix<const double>,
                   Matrix<double>);

}  // namespace moray
