#include "kernels/functions/probes.hpp"

#include "kernels/host/processor.hpp"

namespace moray {

std::vector<const VectorProbe*> runnable_probes() {
  std::vector<const VectorProbe*> probes;
#if defined(MORAY_HAVE_HOST_v4)
  if (processor_runs_v4()) probes.push_back(&v4::vector_probe());
#endif
#if defined(MORAY_HAVE_HOST_v3)
  if (processor_runs_v3()) probes.push_back(&v3::vector_probe());
#endif
#if defined(MORAY_HAVE_HOST_generic)
  probes.push_back(&generic::vector_probe());
#endif
  return probes;
}

}  // namespace moray
