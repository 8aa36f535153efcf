#include "kernels/mixed_gemm/mixed_gemm.hpp"

#include "core/error.hpp"
#include "kernels/host/host_rows.hpp"
#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"

namespace moray {
namespace {

/// What the contract asks of a task.
void require_valid(GemmForm form, Accumulation accumulation, const MixedGemmTask& t) {
  MORAY_REQUIRE((t.a.scales == nullptr) == (t.b.scales == nullptr));
  MORAY_REQUIRE(accumulation == Accumulation::exact || t.a.scales != nullptr);
  MORAY_REQUIRE((t.c == nullptr) != (t.rounded == nullptr));
  MORAY_REQUIRE(form != GemmForm::tn || (t.rounded == nullptr && !t.rounds));
  MORAY_REQUIRE((t.blocks.data != nullptr) == (form == GemmForm::tn && t.a.scales != nullptr));
}

}  // namespace

void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                Accumulation accumulation) {
  for (const MixedGemmTask& task : tasks) require_valid(form, accumulation, task);
  Variant variant = selected_variant(Op::mixed_gemm);
#if defined(MORAY_HAVE_ONEDNN)
  if (variant == Variant::onednn) {
    if (onednn::takes(tasks, accumulation)) return onednn::mixed_gemm(exec, form, tasks);
    variant = available_variants(Op::mixed_gemm).front();
  }
#endif
  if (const HostKernels* host = kHostBackend ? host_kernels(variant) : nullptr) {
    return host::mixed_gemm(exec, *host->mixed_gemm, form, tasks, accumulation);
  }
  portable::mixed_gemm(exec, form, tasks, accumulation);
}

}  // namespace moray
