#include "kernels/host/peak.hpp"

#include "kernels/host/simd.hpp"

namespace moray::MORAY_ISA {
namespace {

constexpr int kChains = 12;
constexpr int kUnrolled = 8;

float run(long rounds, float factor, float summand) {
  const Float a = Float::broadcast(factor);
  const Float b = Float::broadcast(summand);
  Float chain[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) chain[i] = Float::broadcast(static_cast<float>(i));
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnrolled; ++u) {
#pragma GCC unroll 16
      for (int i = 0; i < kChains; ++i) chain[i] = fma(chain[i], a, b);
    }
  }
  Float sum = chain[0];
  for (int i = 1; i < kChains; ++i) sum = sum + chain[i];
  float lanes[Float::kLanes];
  sum.store(lanes);
  return lanes[0];
}

}  // namespace

extern const HostPeak host_peak;
const HostPeak host_peak = {2.0 * kChains * kUnrolled * Float::kLanes, run};

}  // namespace moray::MORAY_ISA
