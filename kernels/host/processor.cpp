#include "kernels/host/processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace moray {

bool processor_runs_v3() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

bool processor_runs_v4() {
#if defined(__x86_64__)
  return processor_runs_v3() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool processor_runs_bf16() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  const auto has = [&](unsigned part, const unsigned& word, unsigned bit) {
    return __get_cpuid_count(7, part, &a, &b, &c, &d) != 0 && (word >> bit & 1U) != 0;
  };
  return processor_runs_v4() && (has(1, a, 5) || has(0, d, 22));
#else
  return false;
#endif
}

}  // namespace moray
