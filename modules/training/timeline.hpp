#pragma once

#include <cstdint>
#include <vector>

#include "training/training_config.hpp"

namespace moray {

/// How long a run is and how many sequences each of its steps has, from lengths given in steps,
/// samples or tokens. Steps count from 0.
class Timeline {
 public:
  Timeline(const BatchConfig& batch, const Amount& length);

  /// N of a step. On a ramp: ramp_from + (sequences - ramp_from) x, x the part of ramp_over that is
  /// done before the step, rounded down to a multiple of ramp_multiple.
  std::int64_t sequences(std::int64_t step) const;
  /// Sequences of all steps before `step`.
  std::int64_t samples_before(std::int64_t step) const;
  /// The fewest steps that reach a length from the start of the run.
  std::int64_t steps(const Amount& amount) const;
  std::int64_t total() const { return total_; }
  /// True when finishing step `step` (0-based) reaches or passes a multiple of `every`.
  bool due(const Amount& every, std::int64_t step) const;

 private:
  double position(Amount::Unit unit, std::int64_t step) const;

  BatchConfig batch_;
  std::vector<std::int64_t> ramp_samples_;  ///< samples before each step of the ramp, and after it
  std::int64_t total_ = 0;
};

}  // namespace moray
