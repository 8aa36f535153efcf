#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace moray {

/// How much of a run goes into a page.
struct ReportLimits {
  std::int64_t points = 2000;   ///< of a line
  std::int64_t columns = 256;   ///< of a heat map, in steps
  std::int64_t cells = 400000;  ///< of a heat map, over its layers, experts and columns
};

/// What a page shows of a run: identity, metrics, profile, the timeline of a step and the memory that
/// its deck plans, in the form that docs/report.md describes. Metrics of any length are cut to the
/// limits, by mean and envelope. A run that goes on, one without validation, experts or profile is
/// welcome; whatever is not there or cannot be read is said in "notes". Serial: starts neither MPI nor
/// Kokkos. Throws Error(io) when the folder holds no run.
nlohmann::ordered_json report_of_run(const std::string& run, const ReportLimits& limits = {});

}  // namespace moray
