#pragma once

#include <nlohmann/json.hpp>

#include "options.hpp"
#include "planning/measured_run.hpp"
#include "planning/step_prediction.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The schedules that `moray plan` was asked to compare.
struct ScheduleComparison {
  std::string source;  ///< of the durations
  ScheduleQuestion question;
  std::vector<SchedulePlan> plans;
  /// Bytes of the fullest rank when the deck has the layout of each plan; 0 where it cannot.
  std::vector<std::int64_t> memory;
  std::string run;                      ///< from which the durations are, if from one
  std::optional<MeasuredRun> measured;  ///< what it measured
  std::optional<Hardware> hardware;
  std::optional<StepPrediction> step;  ///< of one schedule on a machine
  std::string no_step;                 ///< why there is none of that

  /// Whether a plan is of what ran: schedule, ranks, micro-batches and stages.
  bool ran(const SchedulePlan& plan) const;
};

/// Plans what --schedule names, or the deck's own schedule where only times are given, and writes the
/// pictures and the trace that were asked for. Empty without either. `links` is the deck's own; `hardware`
/// is null without a file.
/// Throws Error(usage) for options that do not fit together, and for one schedule
/// that is not possible (among all of them it is a row that says why).
ScheduleComparison compare_schedules(const Options& options, const Deck& deck,
                                     const LinkPlan& links, const Hardware* hardware);

void print_schedules(const ScheduleComparison& comparison);
/// One line: the command that predicts the step of a deck with a pipeline, for a plan without times.
void print_times_hint(const Options& options);
nlohmann::ordered_json schedules_json(const ScheduleComparison& comparison);

}  // namespace moray
