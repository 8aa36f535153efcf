// Float32 products by BLAS, one call a task (determinism: run).
#include <cblas.h>

#include <string_view>

#include "core/error.hpp"
#include "kernels/gemm/gemm_vendor.hpp"

namespace moray {

void gemm_blas(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<float>> tasks) {
  static const std::string label = "moray::gemm::blas";
  const ScopedRegion region(label);
  const int threads = static_cast<int>(exec.concurrency());
  if (openblas_get_num_threads() != threads) openblas_set_num_threads(threads);
  const bool tn = form == GemmForm::tn;
  for (const GemmTask<float>& t : tasks) {
    if (is_empty(form, t)) continue;
    cblas_sgemm(CblasRowMajor, tn ? CblasTrans : CblasNoTrans,
                form == GemmForm::nt ? CblasTrans : CblasNoTrans, vendor_size(t.m),
                vendor_size(t.n), vendor_size(t.k), 1.0f, t.a, vendor_size(t.lda), t.b,
                vendor_size(t.ldb), tn ? 1.0f : 0.0f, t.c, vendor_size(t.ldc));
  }
}

std::string blas_description() {
  return fmt::format("OpenBLAS core {}, {} thread(s)", openblas_get_corename(),
                     openblas_get_num_threads());
}

bool blas_is_avx512() {
  const std::string_view core = openblas_get_corename();
  return core == "SkylakeX" || core == "Cooperlake" || core == "SapphireRapids";
}

}  // namespace moray
