// Float32 products by oneDNN, one call a task (determinism: run).
#include <oneapi/dnnl/dnnl.h>

#include "core/error.hpp"
#include "kernels/gemm/gemm_vendor.hpp"

// oneDNN takes as many threads as the OpenMP runtime gives it; declared here, since the rest of the
// program is not compiled with OpenMP on a Serial backend.
extern "C" void omp_set_num_threads(int);
extern "C" int omp_get_max_threads(void);

namespace moray {

void gemm_onednn(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<float>> tasks) {
  static const std::string label = "moray::gemm::onednn";
  const ScopedRegion region(label);
  omp_set_num_threads(static_cast<int>(exec.concurrency()));
  const bool tn = form == GemmForm::tn;
  for (const GemmTask<float>& t : tasks) {
    if (is_empty(form, t)) continue;
    const dnnl_status_t status =
        dnnl_sgemm(tn ? 'T' : 'N', form == GemmForm::nt ? 'T' : 'N', t.m, t.n, t.k, 1.0f, t.a,
                   t.lda, t.b, t.ldb, tn ? 1.0f : 0.0f, t.c, t.ldc);
    if (status != dnnl_success) {
      fail(ExitCode::device,
           "oneDNN refused a product of {} x {} x {} (status {}); use kernels.gemm: "
           "another variant",
           t.m, t.n, t.k, static_cast<int>(status));
    }
  }
}

std::string onednn_description() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}, {} thread(s)", version->major, version->minor,
                     version->patch, omp_get_max_threads());
}

}  // namespace moray
