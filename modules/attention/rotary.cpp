#include "attention/rotary.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/functions/functions.hpp"

namespace moray {
namespace {

constexpr double kPi = 0x1.921fb54442d18p+1;

/// Dimension whose wavelength makes `rotations` turns over the original length (YaRN, equation 17).
double correction_dimension(const AttentionConfig& config, double rotations) {
  const double turns = static_cast<double>(config.yarn.original_length) / (rotations * 2 * kPi);
  return static_cast<double>(config.rope_width) * log_exact(turns) /
         (2 * log_exact(config.rope_theta));
}

}  // namespace

bool yarn_is_on(const AttentionConfig& config) {
  return config.yarn.factor > 1 && config.max_length > config.yarn.original_length;
}

std::vector<float> inverse_frequencies(const AttentionConfig& config) {
  const std::int64_t pairs = config.rope_width / 2;
  const double last = static_cast<double>(config.rope_width - 1);
  double low = 0;
  double high = 0;
  if (yarn_is_on(config)) {
    low = std::clamp(std::floor(correction_dimension(config, config.yarn.beta_fast)), 0.0, last);
    high = std::clamp(std::ceil(correction_dimension(config, config.yarn.beta_slow)), 0.0, last);
    if (low == high) high += 0.001;  // a step; the reference implementations use the same width
  }
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(config.rope_width);
    double f = exp_exact(exponent * log_exact(config.rope_theta));
    if (yarn_is_on(config)) {
      const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
      const double smooth = 1 - ramp;
      f = f / config.yarn.factor * (1 - smooth) + f * smooth;
    }
    frequencies.push_back(static_cast<float>(f));
  }
  return frequencies;
}

float softmax_scale(const AttentionConfig& config) {
  double scale = 1 / std::sqrt(static_cast<double>(config.nope_width + config.rope_width));
  if (yarn_is_on(config)) {
    const double mscale = 0.1 * config.yarn.mscale * log_exact(config.yarn.factor) + 1;
    scale = scale * mscale * mscale;
  }
  return static_cast<float>(scale);
}

template <class Real>
RotaryTable<Real>::RotaryTable(Arena& arena, const AttentionConfig& config, std::int64_t positions)
    : cosine_(arena.matrix<Real>(Memory::weights, positions, config.rope_width / 2)),
      sine_(arena.matrix<Real>(Memory::weights, positions, config.rope_width / 2)) {}

template <class Real>
void RotaryTable<Real>::fill(const AttentionConfig& config) {
  const std::vector<float> frequencies = inverse_frequencies(config);
  const std::size_t count = static_cast<std::size_t>(cosine_.rows * cosine_.cols);
  std::vector<Real> cosine(count);
  std::vector<Real> sine(count);
  std::size_t next = 0;
  for (std::int64_t position = 0; position < cosine_.rows; ++position) {
    for (const float frequency : frequencies) {
      const float angle = frequency * static_cast<float>(position);
      cosine[next] = static_cast<Real>(cos_exact(angle));
      sine[next] = static_cast<Real>(sin_exact(angle));
      ++next;
    }
  }
  copy_to_device(cosine.data(), count, cosine_.data);
  copy_to_device(sine.data(), count, sine_.data);
}

template class RotaryTable<float>;
template class RotaryTable<double>;

}  // namespace moray
