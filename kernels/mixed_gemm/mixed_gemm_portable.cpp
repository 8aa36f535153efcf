// Products of bf16 and FP8 operands in plain Kokkos, for every backend.
#include <cmath>

#include "kernels/mixed_gemm/mixed_gemm_portable.hpp"

namespace moray::portable {
namespace {

/// Columns of c that one work item computes: independent chains hide the latency of fma on a host;
/// on a device neighbouring threads take neighbouring columns.
constexpr int kColumns = kHostBackend ? 16 : 1;
/// Steps of k that are decoded at a time.
constexpr int kSteps = kHostBackend ? 32 : 1;

/// Continues the chains of `count` columns from j on over steps [begin, begin + steps).
template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION void chains(const Operands<form>& x, std::int64_t i, std::int64_t j,
                                        int count, std::int64_t begin, std::int64_t steps,
                                        float* sum) {
  for (std::int64_t done = 0; done < steps; done += kSteps) {
    const int depth = static_cast<int>(steps - done < kSteps ? steps - done : kSteps);
    float a[kSteps];
    float b[kSteps][kColumns];
    for (int l = 0; l < depth; ++l) a[l] = x.left(i, begin + done + l);
    for (int l = 0; l < depth; ++l) {
      for (int c = 0; c < count; ++c) b[l][c] = x.right(begin + done + l, j + c);
    }
    for (int l = 0; l < depth; ++l) {
      for (int c = 0; c < count; ++c) {
        using std::fma;
        sum[c] = fma(a[l], b[l][c], sum[c]);
      }
    }
  }
}

/// c(i, j .. j + count).
template <GemmForm form>
KOKKOS_FORCEINLINE_FUNCTION void elements(const MixedGemmTask& t, std::int64_t i, std::int64_t j,
                                          int count) {
  const Operands<form> x = {t.a, t.b};
  float acc[kColumns];
  for (int c = 0; c < count; ++c) {
    acc[c] = form == GemmForm::tn ? t.c[i * t.ldc + j + c] : 0.0F;
  }
  if (t.a.scales == nullptr) {
    chains<form>(x, i, j, count, 0, t.k, acc);
  } else {
    const std::int64_t blocks = sum_blocks(t);
    for (std::int64_t q = 0; q < blocks; ++q) {
      const RowBlock block = block_of(t, q);
      float sum[kColumns] = {};
      chains<form>(x, i, j, count, block.begin, block.count, sum);
      const float scale = x.left_scale(i, q);
      for (int c = 0; c < count; ++c) {
        using std::fma;
        acc[c] = fma(sum[c], scale * x.right_scale(q, j + c), acc[c]);
      }
    }
  }
  for (int c = 0; c < count; ++c) store(t, i, j + c, acc[c]);
}

template <GemmForm form>
void launch(const ExecSpace& exec, const MixedGemmTask& task) {
  static const std::string label = "moray::mixed_gemm::portable";
  const std::int64_t groups = (task.n + kColumns - 1) / kColumns;
  parallel_for(
      label, exec, task.m * groups, KOKKOS_LAMBDA(const std::int64_t index) {
        const std::int64_t j = index % groups * kColumns;
        const std::int64_t rest = task.n - j;
        elements<form>(task, index / groups, j,
                       static_cast<int>(rest < kColumns ? rest : kColumns));
      });
}

}  // namespace

void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                Accumulation accumulation) {
  if (accumulation != Accumulation::exact) {
    return limited_gemm(exec, form, tasks, accumulation == Accumulation::limited_promoted);
  }
  for (const MixedGemmTask& task : tasks) {
    if (!has_work(form, task)) continue;
    switch (form) {
      case GemmForm::nt:
        launch<GemmForm::nt>(exec, task);
        break;
      case GemmForm::nn:
        launch<GemmForm::nn>(exec, task);
        break;
      case GemmForm::tn:
        launch<GemmForm::tn>(exec, task);
        break;
    }
  }
}

}  // namespace moray::portable
