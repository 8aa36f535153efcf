#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "inspection/run_report.hpp"

namespace moray {

/// The newest statistics of FP8 of a run (docs/fp8.md section 4): step, counted_steps, and for each tensor its
/// name and, as x, dy and w, counts, amax range and `scales`: `exponent` of the first scale that a block
/// has, and the numbers of blocks from there to the last one. No tensors before the first step that counted; a role
/// that has no blocks is left out. Throws Error(io) where the run has none.
nlohmann::ordered_json fp8_statistics(const std::string& run);

/// The same for a page, as report["fp8"], if the run has any, with lines over steps on grid "fp8":
///
///   fp8_underflow_x     part of the values of all tensors that became zero; low and high: of a tensor
///   fp8_saturated_x     the same of the largest code
///   fp8_amax_x          the largest amax of all tensors
///
/// and of dy and w.
void add_fp8(const std::string& run, const ReportLimits& limits, nlohmann::ordered_json& report);

}  // namespace moray
