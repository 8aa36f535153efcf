#include "kernels/host/host_kernels.hpp"

namespace moray {

/// The table of one instruction set, from what the files of its object library export.
#define MORAY_HOST_TABLE(isa)                                                                      \
  namespace isa {                                                                                  \
  extern const HostGemm host_gemm;                                                                 \
  extern const HostAttention host_attention;                                                       \
  extern const HostRmsnorm host_rmsnorm;                                                           \
  extern const HostSwiglu host_swiglu;                                                             \
  extern const HostCrossEntropy host_cross_entropy;                                                \
  extern const HostAdamw host_adamw;                                                               \
  extern const HostElementwise host_elementwise;                                                   \
  extern const HostQuantize host_quantize;                                                         \
  extern const HostMixedGemm host_mixed_gemm;                                                      \
  extern const HostWiden host_widen;                                                               \
  extern const HostPeak host_peak;                                                                 \
  }                                                                                                \
  static const HostKernels kernels_##isa = {                                                       \
      &isa::host_gemm,          &isa::host_attention, &isa::host_rmsnorm,     &isa::host_swiglu,   \
      &isa::host_cross_entropy, &isa::host_adamw,     &isa::host_elementwise, &isa::host_quantize, \
      &isa::host_mixed_gemm,    &isa::host_widen,     &isa::host_peak}

#if defined(MORAY_HAVE_HOST_v3)
MORAY_HOST_TABLE(v3);
#endif
#if defined(MORAY_HAVE_HOST_v4)
MORAY_HOST_TABLE(v4);
#endif
#if defined(MORAY_HAVE_HOST_generic)
MORAY_HOST_TABLE(generic);
#endif

const HostKernels* host_kernels(Variant variant) {
#if defined(MORAY_HAVE_HOST_v3)
  if (variant == Variant::host_v3) return &kernels_v3;
#endif
#if defined(MORAY_HAVE_HOST_v4)
  if (variant == Variant::host_v4) return &kernels_v4;
#endif
#if defined(MORAY_HAVE_HOST_generic)
  if (variant == Variant::host_generic) return &kernels_generic;
#endif
  return nullptr;
}

}  // namespace moray
