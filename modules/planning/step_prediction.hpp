#pragma once

#include "planning/hardware.hpp"
#include "planning/parameter_plan.hpp"
#include "planning/schedule_plan.hpp"
#include "training/training_config.hpp"

namespace moray {

/// A whole step of a schedule on a machine. Seconds.
struct StepPrediction {
  TimeBySort mean;       ///< of the ranks
  TimeBySort busiest;    ///< of the rank that waits least
  double optimizer = 0;  ///< exchange of gradients and weights with nothing to hide behind
  double step = 0;       ///< pipeline and optimizer
};

/// Bytes that the mean rank sends for gradients (float32, reduce-scatter) and new weights (bf16,
/// all-gather), each 1 - 1 / replicas of its own: the replicas of a stage are its data ranks, of a
/// local expert the expert groups, and twice as many under DualPipe, where a rank has two stages.
double optimizer_bytes(const Deck& deck, const ParameterPlan& parameters,
                       const PipelineShape& shape, double data_ranks);

/// `plan` in milliseconds.
StepPrediction predict_step(const SchedulePlan& plan, double optimizer_bytes, double link);

}  // namespace moray
