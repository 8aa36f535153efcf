#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "core/recorder.hpp"
#include "pipeline/simulate.hpp"

namespace moray {

// Where the time of a step went that was recorded (core/recorder.hpp). Seconds throughout.

/// The phases of a layer, start and finish together, and what is around the layers.
inline constexpr std::array<std::string_view, 5> kPhaseRows = {"attention", "dispatch", "experts",
                                                               "combine", "ends"};
struct PhaseTime {
  double seconds = 0;
  double waited = 0;  ///< of these, for tokens of other ranks
};
/// By kPhaseRows and F, B, W.
using PhaseTimes = std::array<std::array<PhaseTime, 3>, kPhaseRows.size()>;

/// One rank.
struct RankTimes {
  struct Op {
    double asked = 0;  ///< when the rank began to wait for the op's messages; start if it has none
    double start = 0;
    double end = 0;
    double tokens = 0;  ///< seconds in which it waited for tokens of other ranks
  };
  std::vector<Op> ops;  ///< in the order of the rank's list
  PhaseTimes phases{};
  double reduce = 0;
  double update = 0;
};

/// From the runtime's events, which count from `started`, and the recorder's spans. The result is on
/// the clock of the spans.
RankTimes rank_times(const std::vector<TimelineEvent>& events, double started,
                     const std::vector<Recorder::Span>& spans);

/// What a step's time on all ranks was spent on, in parts of ranks x length; their sum is 1.
struct TimeShares {
  double computing = 0;
  double tokens = 0;  ///< in ops, waiting for tokens of other ranks
  double stages = 0;  ///< between ops, waiting for a message that had been sent
  double bubble = 0;  ///< between, before and behind ops: there was nothing to do

  double exposed() const { return tokens + stages; }
};

/// Several pipelines that ran one step side by side, each with the list of ops of `schedule`.
/// `ranks`: of each pipeline, of each of its ranks, on one clock on which the step begins at 0.
/// `length`: until the last op of all ends.
TimeShares time_shares(const PipelineSchedule& schedule,
                       const std::vector<std::vector<RankTimes>>& ranks, double length);

/// The ops of one pipeline as a timeline.
PipelineTimeline timeline_of(const PipelineSchedule& schedule, const std::vector<RankTimes>& ranks);

}  // namespace moray
