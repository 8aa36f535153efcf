// Element-wise sums for one instruction set; the definition is in elementwise.hpp.
#include "kernels/elementwise/elementwise_host.hpp"

#include "kernels/host/vector_loop.hpp"

namespace moray::MORAY_ISA {
namespace {

MORAY_HOST_KERNEL void add(std::int64_t n, const float* a, const float* b, float* out) {
  vector_loop(n, [=](std::int64_t i, int count) {
    (stream(a + i, count) + stream(b + i, count)).store(out + i, count);
  });
}

MORAY_HOST_KERNEL void add_sum(std::int64_t n, const float* a, const float* b, const float* c,
                               float* out) {
  vector_loop(n, [=](std::int64_t i, int count) {
    const Float inner = stream(b + i, count) + stream(c + i, count);
    (stream(a + i, count) + inner).store(out + i, count);
  });
}

MORAY_HOST_KERNEL void copy(std::int64_t n, const float* a, float* out) {
  vector_loop(n, [=](std::int64_t i, int count) { stream(a + i, count).store(out + i, count); });
}

MORAY_HOST_KERNEL void scale(std::int64_t n, float factor, float* x) {
  const Float f = Float::broadcast(factor);
  vector_loop(n,
              [=](std::int64_t i, int count) { (stream(x + i, count) * f).store(x + i, count); });
}

MORAY_HOST_KERNEL void zero(std::int64_t n, float* x) {
  vector_loop(n, [=](std::int64_t i, int count) { Float::zero().store(x + i, count); });
}

}  // namespace

extern const HostElementwise host_elementwise;
const HostElementwise host_elementwise = {add, add_sum, copy, scale, zero};

}  // namespace moray::MORAY_ISA
