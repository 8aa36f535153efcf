#pragma once

/// The implementations behind mixed_gemm(), with its contract: one namespace a variant.

#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "kernels/mixed_gemm/mixed_gemm_host.hpp"

namespace moray {

/// Blocks that the sum of a task with scales is cut into.
KOKKOS_INLINE_FUNCTION std::int64_t sum_blocks(const MixedGemmTask& t) {
  return t.blocks.data != nullptr ? t.blocks.size : (t.k + kScaleBlock - 1) / kScaleBlock;
}

/// Whether anything is written: a weight gradient without a step keeps its c.
inline bool has_work(GemmForm form, const MixedGemmTask& t) {
  const bool steps = t.blocks.data != nullptr ? t.blocks.size > 0 : t.k > 0;
  return t.m > 0 && t.n > 0 && (steps || form != GemmForm::tn);
}

namespace portable {
/// Plain Kokkos over the elements of c: every backend.
void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                Accumulation accumulation = Accumulation::exact);
}  // namespace portable

namespace host {
/// The micro-kernels of one instruction set, tiles spread over the threads of the host backend.
void mixed_gemm(const ExecSpace& exec, const HostMixedGemm& kernels, GemmForm form,
                std::span<const MixedGemmTask> tasks,
                Accumulation accumulation = Accumulation::exact);
}  // namespace host

namespace onednn {
/// Whether oneDNN computes these: both operands are bf16 numbers once multiplied by their scales.
bool takes(std::span<const MixedGemmTask> tasks, Accumulation accumulation);
/// The sums of the contract in an order of oneDNN's own; numbers below 2^-126 may count as zero. Products
/// too deep for the workspace take the exact variant.
void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks);
}  // namespace onednn

}  // namespace moray
