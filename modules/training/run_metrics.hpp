#pragma once

#include "io/metrics.hpp"
#include "training/trainer.hpp"

namespace moray {

/// The columns of a run: scalars of every step, then loads, bias and MaxVio of every MoE layer, those
/// of MTP modules last.
MetricSchema metric_schema(const ModelConfig& config, std::int64_t moe_layers);

/// What the loop measured beside a step.
struct StepTiming {
  double seconds = 0;
  std::int64_t samples = 0;  ///< after the step, since the start of the run
  std::int64_t tokens = 0;
};

/// Fills a row. `validation` is NaN between validations.
void fill_row(MetricRow& row, const StepReport& report, const StepTiming& timing, double validation,
              Model<float>& model);

/// MaxVio averaged over the trunk's MoE layers.
double mean_violation(const StepReport& report, std::int64_t trunk_layers);

}  // namespace moray
