#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/check.hpp"
#include "pipeline/simulate.hpp"
#include "pipeline/stages.hpp"
#include "planning/timed_stages.hpp"

namespace moray {

/// How long a piece of a model takes: durations of a stage that costs `cost` (in the unit of the
/// layers' costs); others are in proportion.
struct TimedCost {
  StageDurations durations;
  double cost = 1;
};

/// What the schedules are compared for.
struct ScheduleQuestion {
  int ranks = 1;
  int micro_batches = 1;
  LayerCosts costs;
  TimedCost timed;
  /// Stages that ran: those of a schedule take what their parts took there (place_durations()), and
  /// `timed`, their mean, is that of equal ones alone.
  std::optional<TimedStages> ran;
  double communication = 0;  ///< between pipeline ranks
  /// "equal": every stage costs the same, whatever the layers are; "auto": place_layers(); else the
  /// layers of each stage, as parse_stages() reads them.
  std::string stages = "equal";
};

/// Time that a rank spends in ops of a sort; their sum with the waiting is the step.
struct TimeBySort {
  double forward = 0;
  double backward = 0;  ///< B and BW
  double weight = 0;
  double overlapped = 0;
  double waiting = 0;
};

/// What a schedule takes. Times are in the unit of the question's durations.
struct SchedulePlan {
  PipelineShape shape;
  std::string problem;  ///< why there is none: sizes, or stages that do not fit the model
  std::string stages;   ///< layers of each stage; "equal" as asked
  std::vector<StageDurations> durations;  ///< of each stage; one for all when they are equal
  PipelineTimeline timeline;
  std::vector<RankNeeds> needs;            ///< of each rank
  std::optional<double> published_bubble;  ///< of equal stages

  double step() const { return timeline.end(); }
  /// The mean over ranks of each sort.
  TimeBySort mean() const;
  /// Most activation slots of a rank, and the same in 1 / P of the model's layers.
  int slots() const;
  double activations() const;
  int most_put_off() const;
  int weight_copies() const { return shape.kind == ScheduleKind::dualpipe ? 2 : 1; }
};

TimeBySort time_by_sort(const PipelineTimeline& timeline, int rank);

/// A schedule's plan, proved before it was simulated; or why there is none.
SchedulePlan plan_schedule(ScheduleKind kind, const ScheduleQuestion& question);

}  // namespace moray
