#include <cmath>

#include "kernels/gemm/gemm_variants.hpp"

namespace moray {
namespace {

/// Columns of c that one work item computes: independent chains hide the latency of fma on a host;
/// on a device neighbouring threads take neighbouring columns.
constexpr int kColumns = kHostBackend ? 16 : 1;

/// Element (row i, step l) of a and (step l, column j) of b, whatever the form stores.
template <GemmForm form, class Real>
KOKKOS_FORCEINLINE_FUNCTION Real left(const GemmTask<Real>& t, std::int64_t i, std::int64_t l) {
  return form == GemmForm::tn ? t.a[l * t.lda + i] : t.a[i * t.lda + l];
}
template <GemmForm form, class Real>
KOKKOS_FORCEINLINE_FUNCTION Real right(const GemmTask<Real>& t, std::int64_t l, std::int64_t j) {
  return form == GemmForm::nt ? t.b[j * t.ldb + l] : t.b[l * t.ldb + j];
}

/// c(i, j0 .. j0 + count): the definition, one chain an element.
template <GemmForm form, class Real>
KOKKOS_FORCEINLINE_FUNCTION void chains(const GemmTask<Real>& t, std::int64_t i, std::int64_t j0,
                                        int count) {
  Real* c = t.c + i * t.ldc + j0;
  Real sum[kColumns];
  for (int j = 0; j < count; ++j) sum[j] = form == GemmForm::tn ? c[j] : Real(0);
  for (std::int64_t l = 0; l < t.k; ++l) {
    const Real a = left<form>(t, i, l);
    for (int j = 0; j < count; ++j) {
      using std::fma;
      sum[j] = fma(a, right<form>(t, l, j0 + j), sum[j]);
    }
  }
  for (int j = 0; j < count; ++j) c[j] = sum[j] + Real(0);  // never -0
}

template <GemmForm form, class Real>
void launch(const ExecSpace& exec, const GemmTask<Real>& task) {
  static const std::string label = "moray::gemm::portable";
  const std::int64_t blocks = (task.n + kColumns - 1) / kColumns;
  parallel_for(
      label, exec, task.m * blocks, KOKKOS_LAMBDA(const std::int64_t index) {
        const std::int64_t j = index % blocks * kColumns;
        const std::int64_t rest = task.n - j;
        // A constant count lets the compiler keep the chains in registers.
        if (rest >= kColumns) {
          chains<form>(task, index / blocks, j, kColumns);
        } else {
          chains<form>(task, index / blocks, j, static_cast<int>(rest));
        }
      });
}

}  // namespace

template <class Real>
void gemm_portable(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<Real>> tasks) {
  for (const GemmTask<Real>& task : tasks) {
    if (task.m == 0 || task.n == 0) continue;
    switch (form) {
      case GemmForm::nt:
        launch<GemmForm::nt>(exec, task);
        break;
      case GemmForm::nn:
        launch<GemmForm::nn>(exec, task);
        break;
      case GemmForm::tn:
        if (task.k > 0) launch<GemmForm::tn>(exec, task);
        break;
    }
  }
}

template void gemm_portable(const ExecSpace&, GemmForm, std::span<const GemmTask<float>>);
template void gemm_portable(const ExecSpace&, GemmForm, std::span<const GemmTask<double>>);

}  // namespace moray
