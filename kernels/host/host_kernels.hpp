#pragma once

#include "kernels/adamw/adamw_host.hpp"
#include "kernels/attention/attention_host.hpp"
#include "kernels/cross_entropy/cross_entropy_host.hpp"
#include "kernels/elementwise/elementwise_host.hpp"
#include "kernels/gemm/gemm_host.hpp"
#include "kernels/host/peak.hpp"
#include "kernels/mixed_gemm/mixed_gemm_host.hpp"
#include "kernels/mixed_gemm/widen_host.hpp"
#include "kernels/quantize/quantize_host.hpp"
#include "kernels/rmsnorm/rmsnorm_host.hpp"
#include "kernels/swiglu/swiglu_host.hpp"
#include "kernels/variants.hpp"

namespace moray {

/// The micro-kernels of one instruction set, compiled from one source each (docs/design.md: a file
/// compiled with a raised -m flag exports only names of its own instruction set; these pointers
/// are how the rest of the program reaches them).
struct HostKernels {
  const HostGemm* gemm = nullptr;
  const HostAttention* attention = nullptr;
  const HostRmsnorm* rmsnorm = nullptr;
  const HostSwiglu* swiglu = nullptr;
  const HostCrossEntropy* cross_entropy = nullptr;
  const HostAdamw* adamw = nullptr;
  const HostElementwise* elementwise = nullptr;
  const HostQuantize* quantize = nullptr;
  const HostMixedGemm* mixed_gemm = nullptr;
  const HostWiden* widen = nullptr;
  const HostPeak* peak = nullptr;
};

/// The kernels behind a host variant; null when this build has it not or `variant` is no host one.
/// Ask only for variants that available_variants() lists: others do not run on this processor.
const HostKernels* host_kernels(Variant variant);

}  // namespace moray
