#pragma once

#include <cstdint>
#include <string>

namespace moray {

/// A length of training in a deck: `2000`, `2000 steps`, `3e6 samples`, `469e9 tokens`. Samples are
/// sequences. Schedules keep the unit; training/progress converts with the batch sizes of the run.
struct Amount {
  enum class Unit { steps, samples, tokens };
  double value = 0;
  Unit unit = Unit::steps;
  friend bool operator==(const Amount&, const Amount&) = default;
};

std::string to_string(const Amount& amount);

}  // namespace moray
