#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/clock.hpp"
#include "pipeline/step_times.hpp"

namespace moray {

class Trainer;

/// One step of a run as all its ranks recorded it: when each op ran, and what was waited for. Times are
/// seconds from the moment in which the first rank began.
struct StepTimeline {
  struct Rank {
    int rank = 0;  ///< of the job
    /// In jobs of many ranks only those of the first pipeline keep them.
    std::vector<Recorder::Span> spans;
  };
  std::int64_t step = 0;
  std::int64_t expert = 1;  ///< ranks that share the experts of a layer
  PipelineSchedule schedule;
  /// Of each pipeline (a data rank j), of each of its ranks.
  std::vector<std::vector<RankTimes>> times;
  std::vector<std::vector<Rank>> ranks;
  double length = 0;       ///< until the last op of all ended
  double clock_error = 0;  ///< of the ranks' clocks against each other, at most
  std::int64_t lost = 0;   ///< spans for which there was no room
  TimeShares shares;
  PhaseTimes phases{};  ///< means of the ranks, as the two below
  double reduce = 0;
  double update = 0;

  /// The same schedule with the durations that were measured, medians of all pipelines
  /// (pipeline/measure.hpp), and its bubble in parts of its length.
  PipelineTimeline planned;
  double planned_bubble = 0;

  /// Whether there is something to wait for: stages, or experts on other ranks.
  bool waits() const { return schedule.shape.ranks > 1 || expert > 1; }
};

/// Room for the spans of any step of a trainer.
std::size_t most_spans(const Trainer& trainer);

/// What the ranks recorded of the trainer's last step, on rank 0; nothing elsewhere. Collective.
std::optional<StepTimeline> gather_timeline(const Trainer& trainer, const Recorder& recorder,
                                            std::int64_t step, const ClockOffset& clock);

/// A table of shares and phases for the log.
std::vector<std::string> timeline_table(const StepTimeline& timeline);

/// Writes `<run>/traces/step_N.json`, a Perfetto trace of planned and measured ops with their phases,
/// and `step_N.timeline.json`, which docs/schema/timeline.schema.json describes. Throws Error(io).
void write_timeline(const std::string& run, const StepTimeline& timeline);
/// `<run>/traces/step_N.timeline.json` of the latest step that has one; "" if none has.
std::string newest_timeline(const std::string& run);

inline constexpr const char* kTimelineFormat = "moray-timeline";
inline constexpr std::int64_t kTimelineVersion = 1;

}  // namespace moray
