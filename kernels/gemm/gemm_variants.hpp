#pragma once

/// The implementations behind gemm(): one function a variant, with the contract of gemm.hpp.

#include "kernels/gemm/gemm.hpp"

namespace moray {

/// Plain Kokkos over the elements of c: every backend, float and double.
template <class Real>
void gemm_portable(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<Real>> tasks);

}  // namespace moray
