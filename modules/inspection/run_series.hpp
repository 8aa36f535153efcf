#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "inspection/run_report.hpp"

namespace moray {

/// The metrics of a run as a page draws them, added to `report`:
///
///   rows       logged so far
///   grids      name -> step, tokens, seconds of training at the last row of each bucket; also
///              `first`, its first step, when buckets have more than one row
///   series     name -> unit, grid, mean; low and high where they differ from it. A column with
///              several values a row is one series, whose envelope spans them (`trunk` of them at
///              most: MTP modules come last), or one a value for MTP losses. A column that most rows
///              lack (validation_loss) has a grid of its own rows.
///   maps       loads and bias: layers, experts, low, high, and values (bucket, layer, expert) as
///              pack_values makes them, on grid "maps". Loads are means of load / (mean load of the
///              layer in the step); `mean_load` (bucket, layer) has the means of what they are
///              divided by. A bias is that of the bucket's last row
///
/// "seconds" adds up the durations of all steps; those between logged rows count like the row that
/// follows. Validation, samples and checkpoints are not in it.
void add_metrics(const std::string& run, std::int64_t trunk, const ReportLimits& limits,
                 nlohmann::ordered_json& report);

}  // namespace moray
