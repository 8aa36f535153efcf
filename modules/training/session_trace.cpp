// Steps that are recorded, and their timelines in the run's folder.
#include "core/log.hpp"
#include "core/no_space.hpp"
#include "training/session.hpp"

namespace moray {

/// The second step of a start: the first one touches memory for the first time.
bool TrainingSession::trace_due() const {
  return step_ == first_step_ + 1 || trainer_.timeline().due(deck_.output.trace_every, step_);
}

/// Compares clocks, and lets the ranks begin together.
void TrainingSession::begin_trace() {
  recorder_.reserve(most_spans(trainer_));
  clock_ = clock_offset(ranks_);
  ranks_.barrier();
}

StepReport TrainingSession::recorded_step(const Trainer::Sample& sample) {
  const Recorder::Recording recording(recorder_);
  return trainer_.step(step_, sample);
}

/// Before anything else runs on the pipeline, whose events are those of its last run.
void TrainingSession::write_trace(std::int64_t step) {
  std::optional<StepTimeline> timeline = gather_timeline(trainer_, recorder_, step, clock_);
  agree(collective_, [&] {
    if (!root()) return;
    timeline_ = std::move(timeline);
    try {
      write_timeline(folder_path_, *timeline_);
    } catch (const NoSpace& error) {
      Log::global().warn("{}; step {} is not traced", error.what(), step);
    }
  });
}

}  // namespace moray
