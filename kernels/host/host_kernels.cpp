#include "kernels/host/host_kernels.hpp"

namespace moray {

#if defined(MORAY_HAVE_HOST_v3)
namespace v3 {
extern const HostGemm host_gemm;
extern const HostAttention host_attention;
}  // namespace v3
#endif
#if defined(MORAY_HAVE_HOST_v4)
namespace v4 {
extern const HostGemm host_gemm;
extern const HostAttention host_attention;
}  // namespace v4
#endif
#if defined(MORAY_HAVE_HOST_generic)
namespace generic {
extern const HostGemm host_gemm;
extern const HostAttention host_attention;
}  // namespace generic
#endif

const HostKernels* host_kernels(Variant variant) {
#if defined(MORAY_HAVE_HOST_v3)
  static const HostKernels kernels_v3 = {&v3::host_gemm, &v3::host_attention};
  if (variant == Variant::host_v3) return &kernels_v3;
#endif
#if defined(MORAY_HAVE_HOST_v4)
  static const HostKernels kernels_v4 = {&v4::host_gemm, &v4::host_attention};
  if (variant == Variant::host_v4) return &kernels_v4;
#endif
#if defined(MORAY_HAVE_HOST_generic)
  static const HostKernels kernels_generic = {&generic::host_gemm, &generic::host_attention};
  if (variant == Variant::host_generic) return &kernels_generic;
#endif
  return nullptr;
}

}  // namespace moray
