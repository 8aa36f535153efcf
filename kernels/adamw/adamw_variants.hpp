#pragma once

/// The implementations behind adamw.hpp, with its contract: one namespace a variant.

#include "kernels/adamw/adamw.hpp"

namespace moray::portable {

void block_sums_of_squares(const ExecSpace& exec, Vector<const float> x, Vector<double> sums);

/// Moment is float or std::uint16_t (bf16).
template <class Moment>
void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<Moment> m, Vector<Moment> v, Vector<float> w);

void ema_update(const ExecSpace& exec, float one_minus_c, Vector<const float> w, Vector<float> ema);

}  // namespace moray::portable
