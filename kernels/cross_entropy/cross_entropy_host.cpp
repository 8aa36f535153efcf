// Cross-entropy for one instruction set; the definition is in cross_entropy.hpp.
#include "kernels/cross_entropy/cross_entropy_host.hpp"

#include "kernels/host/vector_loop.hpp"

namespace moray::MORAY_ISA {
namespace {

/// e = exp(logit - m), +0 where the difference is below -40.
MORAY_FUNCTION Float shifted_exp(Float logit, Float m) {
  const Float difference = logit - m;
  return select(less(difference, Float::broadcast(-40.0F)), Float::zero(), exp(difference));
}

MORAY_HOST_KERNEL float forward(std::int64_t width, const float* logits, std::int32_t target,
                                float* m, float* l) {
  *m = row_max(width, logits);
  const Float highest = Float::broadcast(*m);
  *l = row_reduction<Float>(width, [=](std::int64_t j, int count, Float c) {
    return c + shifted_exp(Float::load(logits + j, count), highest);
  });
  return (*m + log_exact(*l)) - logits[target];
}

MORAY_HOST_KERNEL void backward(std::int64_t width, const float* logits, std::int32_t target,
                                float m, float l, float lambda, float* dlogit) {
  const Float highest = Float::broadcast(m);
  const float inverse = 1.0F / l;
  const Float r = Float::broadcast(inverse);
  const Float factor = Float::broadcast(lambda);
  const float difference = logits[target] - m;  // read before dlogit overwrites it
  const float p = (difference < -40.0F ? 0.0F : exp_exact(difference)) * inverse;
  vector_loop(width, [=](std::int64_t j, int count) {
    const Float e = shifted_exp(Float::load(logits + j, count), highest);
    ((e * r) * factor).store(dlogit + j, count);
  });
  dlogit[target] = (p - 1.0F) * lambda;
}

}  // namespace

extern const HostCrossEntropy host_cross_entropy;
const HostCrossEntropy host_cross_entropy = {forward, backward};

}  // namespace moray::MORAY_ISA
