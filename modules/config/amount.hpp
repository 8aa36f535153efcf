#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moray {

/// A length of training in a deck: `2000`, `2000 steps`, `3e6 samples`, `469e9 tokens`. Samples are
/// sequences. Schedules keep the unit; training/progress converts with the batch sizes of the run.
struct Amount {
  enum class Unit { steps, samples, tokens };
  double value = 0;  ///< an integer, at most 2^53
  Unit unit = Unit::steps;
  friend bool operator==(const Amount&, const Amount&) = default;
};

std::string to_string(const Amount& amount);
/// Sets `amount` and returns an empty string, or says what is wrong with `text`.
std::string parse_amount(std::string_view text, Amount& amount);

}  // namespace moray
