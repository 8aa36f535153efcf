// The optimizer for one instruction set; the definition is in adamw.hpp.
#include "kernels/adamw/adamw_host.hpp"

#include "kernels/host/vector_loop.hpp"

namespace moray::MORAY_ISA {
namespace {

MORAY_FUNCTION Float load_moment(const float* stored, int count) {
  return stream(stored, count);
}
MORAY_FUNCTION Float load_moment(const std::uint16_t* stored, int count) {
  fetch_ahead(stored);
  return load_bf16(stored, count);
}

/// Stores a moment and returns it as stored: what the update goes on with.
MORAY_FUNCTION Float store_moment(float* stored, Float value, int count) {
  value.store(stored, count);
  return value;
}
MORAY_FUNCTION Float store_moment(std::uint16_t* stored, Float value, int count) {
  store_bf16(stored, value, count);
  return load_bf16(stored, count);
}

/// Values below the threshold count as +0; a NaN passes.
MORAY_FUNCTION Float flush(Float value, float threshold) {
  return select(less(absolute(value), Float::broadcast(threshold)), Float::zero(), value);
}

template <class Moment>
MORAY_FUNCTION void update_elements(const AdamwStep& step, std::int64_t n, const float* gradient,
                                    Moment* m, Moment* v, float* w) {
  const Float k = Float::broadcast(step.k);
  const Float beta1 = Float::broadcast(step.beta1);
  const Float one_minus_beta1 = Float::broadcast(step.one_minus_beta1);
  const Float beta2 = Float::broadcast(step.beta2);
  const Float one_minus_beta2 = Float::broadcast(step.one_minus_beta2);
  const Float correction1 = Float::broadcast(step.correction1);
  const Float correction2 = Float::broadcast(step.correction2);
  const Float minus_rate = Float::broadcast(-step.learning_rate);
  const Float decay = Float::broadcast(step.decay);
  const Float eps = Float::broadcast(step.eps);
  vector_loop(n, [=](std::int64_t i, int count) {
    const Float g = flush(k * stream(gradient + i, count), 0x1p-54F);
    Float m_new = flush(fma(beta1, load_moment(m + i, count), one_minus_beta1 * g), 0x1p-100F);
    Float v_new =
        flush(fma(beta2, load_moment(v + i, count), (one_minus_beta2 * g) * g), 0x1p-120F);
    m_new = store_moment(m + i, m_new, count);
    v_new = store_moment(v + i, v_new, count);
    const Float direction = (m_new * correction1) / (square_root(v_new * correction2) + eps);
    fma(minus_rate, direction, stream(w + i, count) * decay).store(w + i, count);
  });
}

MORAY_HOST_KERNEL void update(const AdamwStep& step, std::int64_t n, const float* gradient,
                              float* m, float* v, float* w) {
  update_elements(step, n, gradient, m, v, w);
}
MORAY_HOST_KERNEL void update_bf16(const AdamwStep& step, std::int64_t n, const float* gradient,
                                   std::uint16_t* m, std::uint16_t* v, float* w) {
  update_elements(step, n, gradient, m, v, w);
}

MORAY_HOST_KERNEL double sum_of_squares(std::int64_t n, const float* x) {
  return row_sum_of_squares(n, x);
}

MORAY_HOST_KERNEL void ema_elements(std::int64_t n, float one_minus_c, const float* w, float* ema) {
  const Float factor = Float::broadcast(one_minus_c);
  vector_loop(n, [=](std::int64_t i, int count) {
    const Float old = stream(ema + i, count);
    fma(factor, stream(w + i, count) - old, old).store(ema + i, count);
  });
}

}  // namespace

extern const HostAdamw host_adamw;
const HostAdamw host_adamw = {sum_of_squares, update, update_bf16, ema_elements};

}  // namespace moray::MORAY_ISA
