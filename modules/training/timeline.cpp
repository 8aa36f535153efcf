#include "training/timeline.hpp"

#include <algorithm>
#include <cmath>

namespace moray {

Timeline::Timeline(const BatchConfig& batch, const Amount& length) : batch_(batch) {
  ramp_samples_.push_back(0);
  if (batch.ramp_from > 0) {
    while (true) {
      const auto step = static_cast<std::int64_t>(ramp_samples_.size()) - 1;
      const double done = position(batch.ramp_over.unit, step) / batch.ramp_over.value;
      if (done >= 1) break;
      const auto grown = static_cast<double>(batch.sequences - batch.ramp_from) * done;
      const auto extra =
          static_cast<std::int64_t>(grown) / batch.ramp_multiple * batch.ramp_multiple;
      ramp_samples_.push_back(ramp_samples_.back() + batch.ramp_from + extra);
    }
  }
  total_ = steps(length);
}

double Timeline::position(Amount::Unit unit, std::int64_t step) const {
  if (unit == Amount::Unit::steps) return static_cast<double>(step);
  const auto samples = static_cast<double>(samples_before(step));
  return unit == Amount::Unit::samples ? samples : samples * static_cast<double>(batch_.length);
}

std::int64_t Timeline::sequences(std::int64_t step) const {
  return samples_before(step + 1) - samples_before(step);
}

std::int64_t Timeline::samples_before(std::int64_t step) const {
  const auto ramp = static_cast<std::int64_t>(ramp_samples_.size()) - 1;
  if (step <= ramp) return ramp_samples_[static_cast<std::size_t>(step)];
  return ramp_samples_.back() + (step - ramp) * batch_.sequences;
}

std::int64_t Timeline::steps(const Amount& amount) const {
  if (amount.value <= 0) return 0;
  if (amount.unit == Amount::Unit::steps) return static_cast<std::int64_t>(std::ceil(amount.value));
  std::int64_t low = 0;
  std::int64_t high = 1;
  while (position(amount.unit, high) < amount.value) high *= 2;
  while (low + 1 < high) {  // position(low) < value <= position(high)
    const std::int64_t middle = low + (high - low) / 2;
    (position(amount.unit, middle) < amount.value ? low : high) = middle;
  }
  return high;
}

bool Timeline::due(const Amount& every, std::int64_t step) const {
  if (every.value <= 0) return false;
  const double before = position(every.unit, step) / every.value;
  const double after = position(every.unit, step + 1) / every.value;
  return std::floor(after) > std::floor(before);
}

}  // namespace moray
