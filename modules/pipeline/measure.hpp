#pragma once

#include <vector>

#include "pipeline/simulate.hpp"

namespace moray {

/// Durations of each stage from a timeline that ran, so that simulate() plans what can be drawn beside
/// it: medians of F, B and W; a stage that never ran B or W alone has half of a BW each. What an
/// overlapped pair saves against its parts counts for both of its stages. A stage that ran no pair
/// saves nothing; communication is 0, since a timeline's ops begin when their messages are there.
PipelineDurations measured_durations(const PipelineTimeline& timeline);
/// The same of pipelines that ran one schedule side by side, one or more: all are samples of its stages.
PipelineDurations measured_durations(const std::vector<PipelineTimeline>& pipelines);

/// Which sorts of op a stage runs in a schedule, and so what of it can be measured.
struct StageOps {
  bool parted = false;      ///< B or W without the other
  bool overlapped = false;  ///< F&B, with either part in it
};
std::vector<StageOps> stage_ops(const PipelineSchedule& schedule);

}  // namespace moray
