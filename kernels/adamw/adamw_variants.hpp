#pragma once

/// The implementations behind adamw.hpp, with its contract: one namespace a variant.

#include "kernels/adamw/adamw.hpp"
#include "kernels/adamw/adamw_host.hpp"

namespace moray::portable {

void block_sums_of_squares(const ExecSpace& exec, Vector<const float> x, Vector<double> sums);

/// Moment is float or std::uint16_t (bf16).
template <class Moment>
void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<Moment> m, Vector<Moment> v, Vector<float> w);

void ema_update(const ExecSpace& exec, float one_minus_c, Vector<const float> w, Vector<float> ema);

}  // namespace moray::portable

/// The micro-kernels of one instruction set, spread over the threads of the host backend.
namespace moray::host {

void block_sums_of_squares(const ExecSpace& exec, const HostAdamw& kernels, Vector<const float> x,
                           Vector<double> sums);
void adamw_update(const ExecSpace& exec, const HostAdamw& kernels, const AdamwStep& step,
                  Vector<const float> gradient, Vector<float> m, Vector<float> v, Vector<float> w);
void adamw_update(const ExecSpace& exec, const HostAdamw& kernels, const AdamwStep& step,
                  Vector<const float> gradient, Vector<std::uint16_t> m, Vector<std::uint16_t> v,
                  Vector<float> w);
void ema_update(const ExecSpace& exec, const HostAdamw& kernels, float one_minus_c,
                Vector<const float> w, Vector<float> ema);

}  // namespace moray::host
