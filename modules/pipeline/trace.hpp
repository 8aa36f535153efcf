#pragma once

#include <string>
#include <vector>

#include "pipeline/simulate.hpp"

namespace moray {

struct NamedTimeline {
  std::string name;  ///< "planned", "measured"
  const PipelineTimeline* timeline = nullptr;
};

/// Timelines as a Chrome trace (JSON), which Perfetto (ui.perfetto.dev) and chrome://tracing show: one
/// process a timeline, one track a rank, one slice an op, messages as arrows. `microseconds` is the
/// length of the timelines' unit.
std::string perfetto_trace(const std::vector<NamedTimeline>& timelines, double microseconds);

}  // namespace moray
