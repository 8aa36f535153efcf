#pragma once

#include <string>
#include <vector>

#include "core/recorder.hpp"
#include "pipeline/simulate.hpp"

namespace moray {

struct NamedTimeline {
  std::string name;  ///< "planned", "measured"
  const PipelineTimeline* timeline = nullptr;
  /// What each rank did within its ops and between them, in the timeline's unit; may be left out, for
  /// single ranks too.
  std::vector<std::vector<Recorder::Span>> spans = {};
  std::vector<std::string> tracks = {};  ///< names of the ranks; "rank 0" and so on if left out
};

/// Timelines as a Chrome trace (JSON), which Perfetto (ui.perfetto.dev) and chrome://tracing show: one
/// process a timeline, one track a rank, one slice an op with slices of its phases in it, messages as
/// arrows. `microseconds` is the length of the timelines' unit.
std::string perfetto_trace(const std::vector<NamedTimeline>& timelines, double microseconds);

}  // namespace moray
