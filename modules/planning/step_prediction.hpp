#pragma once

#include "planning/hardware.hpp"
#include "planning/link_plan.hpp"
#include "planning/schedule_plan.hpp"

namespace moray {

/// A whole step of a schedule on a machine. Seconds.
struct StepPrediction {
  TimeBySort mean;       ///< of the ranks
  TimeBySort busiest;    ///< of the rank that waits least
  double optimizer = 0;  ///< exchange of gradients and weights with nothing to hide behind
  double step = 0;       ///< pipeline and optimizer
};

/// Seconds in which the mean rank sends its sums of gradients and new weights, all float32 and as many
/// as the plan says: those inside its node and those to others one after the other, as the halvings
/// are. 0 for a machine without `link`. What `links.sums_unknown` leaves out is not counted.
double optimizer_seconds(const LinkPlan& links, const Hardware& hardware);

/// `plan` in milliseconds, `optimizer` in seconds.
StepPrediction predict_step(const SchedulePlan& plan, double optimizer);

}  // namespace moray
