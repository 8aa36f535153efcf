#pragma once

/// The implementations behind gemm(): one function a variant, with the contract of gemm.hpp.

#include "kernels/gemm/gemm.hpp"
#include "kernels/gemm/gemm_host.hpp"
#include "kernels/variants.hpp"

namespace moray {

/// Plain Kokkos over the elements of c: every backend, float and double.
template <class Real>
void gemm_portable(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<Real>> tasks);

/// gemm() by this variant, which available_variants() lists.
void gemm_variant(const ExecSpace& exec, Variant variant, GemmForm form,
                  std::span<const GemmTask<float>> tasks);

/// The micro-kernels of one instruction set, tiles spread over the threads of the host backend.
void gemm_host(const ExecSpace& exec, const HostGemm& host, GemmForm form,
               std::span<const GemmTask<float>> tasks);
/// The same with b packed before by gemm_host_pack: the tasks' b is that storage, ldb unused.
void gemm_host_packed(const ExecSpace& exec, const HostGemm& host, GemmForm form,
                      std::span<const GemmTask<float>> tasks);
/// Packs the whole b of a task (its b, ldb, n and k) into `storage`, packed_floats(n, k) long.
void gemm_host_pack(const ExecSpace& exec, const HostGemm& host, GemmForm form,
                    const GemmTask<float>& task, float* storage);

}  // namespace moray
