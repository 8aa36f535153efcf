#pragma once

namespace moray {

/// Whether this processor (and its operating system) runs what -march=x86-64-v3 and -v4 let the
/// compiler use, as far as it concerns kernels; false off x86.
bool processor_runs_v3();
bool processor_runs_v4();
/// Whether it multiplies bf16 numbers in vectors or tiles (AVX512-BF16, AMX-BF16), beside v4.
bool processor_runs_bf16();

}  // namespace moray
