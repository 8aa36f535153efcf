// SwiGLU for one instruction set; the definition is in swiglu.hpp.
#include "kernels/swiglu/swiglu_host.hpp"

#include "kernels/host/vector_loop.hpp"

namespace moray::MORAY_ISA {
namespace {

MORAY_HOST_KERNEL void forward(std::int64_t width, const float* g, const float* u,
                               const float* weight, float* act) {
  if (weight == nullptr) {
    vector_loop(width, [=](std::int64_t j, int count) {
      (silu(stream(g + j, count)) * stream(u + j, count)).store(act + j, count);
    });
    return;
  }
  const Float w = Float::broadcast(*weight);
  vector_loop(width, [=](std::int64_t j, int count) {
    const Float a = silu(stream(g + j, count)) * stream(u + j, count);
    (a * w).store(act + j, count);
  });
}

/// Gradients of `count` pairs from da; returns a = silu(g) u.
MORAY_FUNCTION Float backward_pairs(Float da, const float* g, const float* u, float* dg, float* du,
                                    int count) {
  const Float gate = stream(g, count);
  const Float up = stream(u, count);
  const Float s = sigmoid(gate);
  const Float activated = gate * s;
  (da * activated).store(du, count);
  ((da * up) * dsilu(gate, s)).store(dg, count);
  return activated * up;
}

MORAY_HOST_KERNEL void backward(std::int64_t width, const float* dh, const float* g, const float* u,
                                const float* weight, float* dg, float* du, float* dw) {
  if (weight == nullptr) {
    vector_loop(width, [=](std::int64_t j, int count) {
      backward_pairs(stream(dh + j, count), g + j, u + j, dg + j, du + j, count);
    });
    return;
  }
  const Float w = Float::broadcast(*weight);
  *dw = row_reduction<Float>(width, [=](std::int64_t j, int count, Float c) {
    const Float d = stream(dh + j, count);
    return fma(d, backward_pairs(d * w, g + j, u + j, dg + j, du + j, count), c);
  });
}

}  // namespace

extern const HostSwiglu host_swiglu;
const HostSwiglu host_swiglu = {forward, backward};

}  // namespace moray::MORAY_ISA
