#pragma once

#include "core/matrix.hpp"
#include "kernels/adamw/adamw_step.hpp"

namespace moray {

/// Elements of a block: the unit of norms, of ZeRO splits and of digests.
inline constexpr std::int64_t kBlockElements = std::int64_t{1} << 16;
inline std::int64_t block_count(std::int64_t elements) {
  return (elements + kBlockElements - 1) / kBlockElements;
}

/// sums (blocks) of a tensor x: each block's sum of squares as a float64 row reduction
/// (16 chains of fma(double(x), double(x), c), folded by halves).
void block_sums_of_squares(const ExecSpace& exec, Vector<const float> x, Vector<double> sums);

/// w, m, v of n elements from the summed gradient G:
/// g = k G; m = fma(b1, m, (1-b1) g); v = fma(b2, v, ((1-b2) g) g);
/// w = fma(-lr, (m a1) / (sqrt(v a2) + eps), w decay), w itself where decay is 1.
/// |g| < 2^-54, |m| < 2^-100 and v < 2^-120 count as +0 when formed, before use.
/// bf16 moments are kept as uint16 and rounded to nearest even when formed, before use; the
/// thresholds look at the float32 value, before it is rounded.
void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<float> m, Vector<float> v, Vector<float> w);
void adamw_update(const ExecSpace& exec, const AdamwStep& step, Vector<const float> gradient,
                  Vector<std::uint16_t> m, Vector<std::uint16_t> v, Vector<float> w);

/// ema = fma(1 - c, w - ema, ema), one_minus_c in float32.
void ema_update(const ExecSpace& exec, float one_minus_c, Vector<const float> w, Vector<float> ema);

}  // namespace moray
