#pragma once

#include <vector>

#include "kernels/functions/probe.hpp"

namespace moray {

/// The probes of the instruction sets that this build has and this processor runs, fastest first.
std::vector<const VectorProbe*> runnable_probes();

}  // namespace moray
