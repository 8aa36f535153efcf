#include "kernels/adamw/adamw.hpp"

#include "core/error.hpp"
#include "kernels/adamw/adamw_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray {

void block_sums_of_squares(const ExecSpace& exec, Vector<const float> x, Vector<double> sums) {
  MORAY_REQUIRE(sums.size == block_count(x.size));
  if (const HostKernels* host = selected_host_kernels(Op::adamw)) {
    return host::block_sums_of_squares(exec, *host->adamw, x, sums);
  }
  portable::block_sums_of_squares(exec, x, sums);
}

void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<float> m, Vector<float> v, Vector<float> w) {
  MORAY_REQUIRE(gradient.size == w.size && m.size == w.size && v.size == w.size);
  if (const HostKernels* host = selected_host_kernels(Op::adamw)) {
    return host::adamw_update(exec, *host->adamw, step, gradient, m, v, w);
  }
  portable::adamw_update(exec, step, gradient, m, v, w);
}

void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<std::uint16_t> m, Vector<std::uint16_t> v, Vector<float> w) {
  MORAY_REQUIRE(gradient.size == w.size && m.size == w.size && v.size == w.size);
  if (const HostKernels* host = selected_host_kernels(Op::adamw)) {
    return host::adamw_update(exec, *host->adamw, step, gradient, m, v, w);
  }
  portable::adamw_update(exec, step, gradient, m, v, w);
}

void ema_update(const ExecSpace& exec, float one_minus_c, Vector<const float> w,
                Vector<float> ema) {
  MORAY_REQUIRE(w.size == ema.size);
  if (const HostKernels* host = selected_host_kernels(Op::adamw)) {
    return host::ema_update(exec, *host->adamw, one_minus_c, w, ema);
  }
  portable::ema_update(exec, one_minus_c, w, ema);
}

}  // namespace moray
