#pragma once

#include "pipeline/simulate.hpp"

namespace moray {

/// Durations of each stage from a timeline that ran, so that simulate() plans what can be drawn beside
/// it: medians of F, B and W; a stage that never ran B or W alone has half of a BW each. What an
/// overlapped pair saves against its parts counts for both of its stages. A stage that ran no pair
/// saves nothing; communication is 0, since a timeline's ops begin when their messages are there.
PipelineDurations measured_durations(const PipelineTimeline& timeline);

}  // namespace moray
