#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/matrix.hpp"
#include "kernels/gemm/gemm_form.hpp"
#include "kernels/variants.hpp"

namespace moray {

/// One product. Leading dimensions are row strides in elements. c overlaps neither a nor b.
template <class Real>
struct GemmTask {
  const Real* a = nullptr;
  std::int64_t lda = 0;
  const Real* b = nullptr;
  std::int64_t ldb = 0;
  Real* c = nullptr;
  std::int64_t ldc = 0;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

/// Runs independent products (one dense Linear, the experts of a layer, the lanes of a gradient)
/// as one launch.
///
/// Bits: each element of c is the chain c = fma(a_k, b_k, c) over increasing k, from +0 (forms nt,
/// nn) or from c (form tn), returned as c + 0 so that it is never -0. m = 0 or n = 0 is allowed;
/// k = 0 writes +0 (nt, nn) or leaves c (tn). Tasks must not write the same element.
/// Does not fence; `tasks` may be freed on return.
template <class Real>
void gemm(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<Real>> tasks);

/// c = a bᵀ, c = a b and c += aᵀ b for one product of Matrix arguments.
template <class Real>
void gemm(const ExecSpace& exec, GemmForm form, Matrix<const Real> a, Matrix<const Real> b,
          Matrix<Real> c);

/// What stands behind a variant: library, version, the kernel that it chose, threads.
std::string gemm_description(Variant variant);
/// Whether that is a kernel for AVX-512.
bool gemm_is_avx512(Variant variant);

/// Memory that gemm() keeps for packed operands: one buffer for the process, of a size that depends
/// on the number of threads alone (docs/design.md: the plan counts it as workspace).
std::int64_t gemm_workspace_bytes();
/// Takes that memory now, so that no product of a step allocates.
void gemm_reserve();

}  // namespace moray
