#include <cmath>

#include "core/bf16.hpp"
#include "kernels/adamw/adamw_variants.hpp"
#include "kernels/functions/row_reduction.hpp"

namespace moray::portable {
namespace {

/// Elements that one work item updates: contiguous on a host, neighbouring threads on a device.
constexpr std::int64_t kElements = kHostBackend ? 4096 : 1;

std::int64_t item_count(std::int64_t elements) {
  return (elements + kElements - 1) / kElements;
}
KOKKOS_FORCEINLINE_FUNCTION std::int64_t item_end(std::int64_t item, std::int64_t elements) {
  return (item + 1) * kElements < elements ? (item + 1) * kElements : elements;
}

KOKKOS_FORCEINLINE_FUNCTION void load(float stored, float& value) {
  value = stored;
}
KOKKOS_FORCEINLINE_FUNCTION void load(std::uint16_t stored, float& value) {
  value = bf16_decode(stored);
}

/// Stores a moment and returns it as stored: what the update goes on with.
KOKKOS_FORCEINLINE_FUNCTION float store(float value, float& stored) {
  return stored = value;
}
KOKKOS_FORCEINLINE_FUNCTION float store(float value, std::uint16_t& stored) {
  return bf16_decode(stored = bf16_encode(value));
}

/// Denormal gradients and moments of rare tokens would cost 80 times as much: they count as +0.
/// A NaN passes, and is found by the guard.
KOKKOS_FORCEINLINE_FUNCTION float flush(float value, float threshold) {
  return std::abs(value) < threshold ? 0.0F : value;
}

}  // namespace

void block_sums_of_squares(const ExecSpace& exec, Vector<const float> x, Vector<double> sums) {
  static const std::string label = "moray::adamw::block_sums_of_squares";
  parallel_for(
      label, exec, sums.size, KOKKOS_LAMBDA(const std::int64_t block) {
        const std::int64_t begin = block * kBlockElements;
        const std::int64_t rest = x.size - begin;
        const float* values = x.data + begin;
        sums[block] = row_reduction<double>(rest < kBlockElements ? rest : kBlockElements,
                                            [=](std::int64_t i, double c) {
                                              const auto value = static_cast<double>(values[i]);
                                              return std::fma(value, value, c);
                                            });
      });
}

template <class Moment>
void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<Moment> m, Vector<Moment> v, Vector<float> w) {
  static const std::string label = "moray::adamw::update";
  parallel_for(
      label, exec, item_count(w.size), KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t end = item_end(item, w.size);
        for (std::int64_t i = item * kElements; i < end; ++i) {
          float old_m, old_v;
          load(m[i], old_m);
          load(v[i], old_v);
          const float g = flush(step.k * gradient[i], 0x1p-54F);
          const float m_new =
              store(flush(std::fma(step.beta1, old_m, step.one_minus_beta1 * g), 0x1p-100F), m[i]);
          const float v_new = store(
              flush(std::fma(step.beta2, old_v, (step.one_minus_beta2 * g) * g), 0x1p-120F), v[i]);
          const float direction =
              (m_new * step.correction1) / (std::sqrt(v_new * step.correction2) + step.eps);
          w[i] = std::fma(-step.learning_rate, direction, w[i] * step.decay);
        }
      });
}

void ema_update(const ExecSpace& exec, float one_minus_c, Vector<const float> w,
                Vector<float> ema) {
  static const std::string label = "moray::adamw::ema";
  parallel_for(
      label, exec, item_count(w.size), KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t end = item_end(item, w.size);
        for (std::int64_t i = item * kElements; i < end; ++i) {
          ema[i] = std::fma(one_minus_c, w[i] - ema[i], ema[i]);
        }
      });
}

template void adamw_update(const ExecSpace&, const AdamwStep&, Vector<const float>, Vector<float>,
                           Vector<float>, Vector<float>);
template void adamw_update(const ExecSpace&, const AdamwStep&, Vector<const float>,
                           Vector<std::uint16_t>, Vector<std::uint16_t>, Vector<float>);

}  // namespace moray::portable
