#include "optimizer/schedule.hpp"

#include <algorithm>

#include "kernels/functions/functions.hpp"

namespace moray {
namespace {
constexpr double kPi = 0x1.921fb54442d18p+1;
}

double learning_rate(const LearningRateConfig& config, const ScheduleSteps& steps,
                     std::int64_t step) {
  if (step <= steps.warmup) {
    return config.peak * static_cast<double>(step) / static_cast<double>(steps.warmup);
  }
  if (config.schedule == "constant") return config.peak;
  if (steps.tail_start > 0 && step > steps.tail_start) return config.tail;
  const bool from_warmup = config.schedule == "cosine" || steps.constant == 0;
  const std::int64_t start = from_warmup ? steps.warmup : std::max(steps.warmup, steps.constant);
  const std::int64_t end = steps.decay_end > 0 ? steps.decay_end : steps.total;
  if (step <= start) return config.peak;
  if (step >= end) return config.final;
  const double part = static_cast<double>(step - start) / static_cast<double>(end - start);
  if (config.schedule == "wsd") return config.peak + (config.final - config.peak) * part;
  return config.final + (config.peak - config.final) * (0.5 * (1 + cos_exact(kPi * part)));
}

}  // namespace moray
