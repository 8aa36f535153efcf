// RMSNorm for one instruction set; the definition is in rmsnorm.hpp.
#include "kernels/rmsnorm/rmsnorm_host.hpp"

#include "kernels/host/vector_loop.hpp"

namespace moray::MORAY_ISA {
namespace {

MORAY_HOST_KERNEL void recompute(std::int64_t width, const float* x, const float* gamma, float r,
                                 float* y) {
  const Float inverse = Float::broadcast(r);
  vector_loop(width, [=](std::int64_t j, int count) {
    const Float xhat = stream(x + j, count) * inverse;
    (xhat * Float::load(gamma + j, count)).store(y + j, count);
  });
}

MORAY_HOST_KERNEL float forward(std::int64_t width, const float* x, const float* gamma, float eps,
                                float* y) {
  const float sum = row_product_sum(width, x, x);
  const float r = 1.0F / __builtin_sqrtf(sum / static_cast<float>(width) + eps);
  recompute(width, x, gamma, r, y);
  return r;
}

MORAY_HOST_KERNEL void backward_input(std::int64_t width, const float* dy, const float* x,
                                      const float* gamma, float r, float* dx) {
  const Float inverse = Float::broadcast(r);
  const float sum = row_reduction<Float>(width, [=](std::int64_t j, int count, Float c) {
    const Float product = stream(dy + j, count) * Float::load(gamma + j, count);
    return fma(product, stream(x + j, count) * inverse, c);
  });
  const Float mean = Float::broadcast(sum / static_cast<float>(width));
  vector_loop(width, [=](std::int64_t j, int count) {
    const Float product = Float::load(dy + j, count) * Float::load(gamma + j, count);
    const Float xhat = Float::load(x + j, count) * inverse;
    (inverse * (product - xhat * mean)).store(dx + j, count);
  });
}

MORAY_HOST_KERNEL void backward_weight(std::int64_t rows, std::int64_t width, const float* dy,
                                       std::int64_t dy_stride, const float* x,
                                       std::int64_t x_stride, const float* r, float* dgamma) {
  constexpr int kVectors = 64 / Float::kLanes;
  std::int64_t first = 0;
  for (; first + kHostRmsnormColumns <= width; first += kHostRmsnormColumns) {
    Float chain[kVectors];
    for (int v = 0; v < kVectors; ++v) chain[v] = Float::load(dgamma + first + v * Float::kLanes);
    for (std::int64_t t = 0; t < rows; ++t) {
      const Float inverse = Float::broadcast(r[t]);
      const float* dy_row = dy + t * dy_stride + first;
      const float* x_row = x + t * x_stride + first;
      for (std::int64_t line = 0; line < kHostRmsnormColumns; line += 16) {
        fetch_row_ahead(dy_row + line, dy_stride);
        fetch_row_ahead(x_row + line, x_stride);
      }
      for (int v = 0; v < kVectors; ++v) {
        const Float xhat = Float::load(x_row + v * Float::kLanes) * inverse;
        chain[v] = fma(Float::load(dy_row + v * Float::kLanes), xhat, chain[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      (chain[v] + Float::zero()).store(dgamma + first + v * Float::kLanes);  // never -0
    }
  }
  vector_loop(width - first, [=](std::int64_t j, int count) {
    Float chain = Float::load(dgamma + first + j, count);
    for (std::int64_t t = 0; t < rows; ++t) {
      const Float xhat = Float::load(x + t * x_stride + first + j, count) * Float::broadcast(r[t]);
      chain = fma(Float::load(dy + t * dy_stride + first + j, count), xhat, chain);
    }
    (chain + Float::zero()).store(dgamma + first + j, count);
  });
}

}  // namespace

extern const HostRmsnorm host_rmsnorm;
const HostRmsnorm host_rmsnorm = {forward, recompute, backward_input, backward_weight};

}  // namespace moray::MORAY_ISA
