#pragma once

/// Vendor products behind gemm(): the sums of its contract in an order of their own.

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.hpp"
#include "kernels/gemm/gemm.hpp"

namespace moray {

/// Sizes as the 32-bit integers of a BLAS.
inline int vendor_size(std::int64_t size) {
  if (size > std::numeric_limits<int>::max()) {
    fail(ExitCode::usage,
         "a product with a size of {} is beyond BLAS; use kernels.gemm: another "
         "variant",
         size);
  }
  return static_cast<int>(size);
}

/// Products without a step, which libraries refuse for their null pointers or strides: done here.
inline bool is_empty(GemmForm form, const GemmTask<float>& task) {
  if (task.k == 0 && form != GemmForm::tn) {
    for (std::int64_t i = 0; i < task.m; ++i) std::fill_n(task.c + i * task.ldc, task.n, 0.0f);
  }
  return task.m == 0 || task.n == 0 || task.k == 0;
}

void gemm_blas(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<float>> tasks);
/// Which kernels run, with how many threads.
std::string blas_description();
bool blas_is_avx512();

void gemm_onednn(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<float>> tasks);
std::string onednn_description();

void gemm_kokkos_kernels(const ExecSpace& exec, GemmForm form,
                         std::span<const GemmTask<float>> tasks);

}  // namespace moray
