#pragma once

#include <cstdint>

#include "optimizer/optimizer_config.hpp"

namespace moray {

/// The points of a learning-rate schedule in steps, converted once from steps, samples or tokens.
struct ScheduleSteps {
  std::int64_t warmup = 0;
  std::int64_t constant = 0;    ///< end of the constant part; 0: the end of the warm-up
  std::int64_t decay_end = 0;   ///< 0: total
  std::int64_t tail_start = 0;  ///< 0: no second tail
  std::int64_t total = 0;
};

/// Learning rate of update `step` (1 is the first): linear warm-up peak step / warmup, then by
/// schedule. Float64 with our own cosine, so that every machine gives the same bits.
///   cosine    from the end of the warm-up to decay_end, then `final`
///   wsd       constant, then linear to `final` at decay_end
///   deepseek  constant, cosine to `final` at decay_end, `final` until tail_start, then `tail`
double learning_rate(const LearningRateConfig& config, const ScheduleSteps& steps,
                     std::int64_t step);

}  // namespace moray
