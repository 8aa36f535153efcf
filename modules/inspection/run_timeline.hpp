#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace moray {

/// Puts the newest timeline of a run (traces/step_N.timeline.json) into its report, as "timeline": the
/// same members, with the ranks of its first pipelines under "pipelines". Nothing when no step was
/// recorded. Throws Error(io) for a file that is no timeline, of whatever kind.
void add_timeline(const std::string& run, nlohmann::ordered_json& report);

}  // namespace moray
