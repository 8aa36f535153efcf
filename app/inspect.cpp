// moray inspect: what a checkpoint or a run holds, how two checkpoints differ, and runs as a page. Serial: starts
// neither MPI nor Kokkos.
#include "inspect.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "commands.hpp"
#include "core/error.hpp"
#include "inspection/balance.hpp"
#include "inspection/fp8_report.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/fp8_weights.hpp"
#include "io/metrics.hpp"
#include "io/run_folder.hpp"
#include "training/fp8_metrics.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kExpertsOfLine = 16;

void print(const Json& result, bool json) {
  if (json) {
    fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
    return;
  }
  if (result.contains("fp8")) print_fp8_run(result["fp8"]);
  if (result.contains("diff")) print_diff(result["diff"]);
  if (result.contains("run")) print_run(result["run"]);
  if (result.contains("checkpoint")) print_checkpoint(result["checkpoint"]);
}

/// A run that has not saved yet is a run without a checkpoint; anything else must have one.
bool has_checkpoint(const std::string& path, bool run) {
  return !run || !list_checkpoints(RunFolder::open(path).checkpoints()).empty();
}

void check_options(const Options& o) {
  if (o.paths.size() != (o.diff ? 2 : 1)) {
    fail(ExitCode::usage, "moray inspect: give one CHECKPOINT or RUN, or two with --diff, not {}",
         o.paths.size());
  }
  if (o.fp8 && o.diff) fail(ExitCode::usage, "moray inspect: --fp8 shows one run, not --diff");
  if (o.window < 1) fail(ExitCode::usage, "moray inspect: --window must be at least 1");
  if (!(o.dead >= 0 && o.dead <= 1))
    fail(ExitCode::usage, "moray inspect: --dead must be between 0 and 1");
}

}  // namespace

Json json_real(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

double real_of(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string shape_text(const Json& shape) {
  return fmt::format("{}", fmt::join(shape.get<std::vector<std::int64_t>>(), " x "));
}

bool is_secondary(const std::string& dataset) {
  return dataset.starts_with("optimizer/") || dataset.starts_with("ema/") ||
         of_fp8_weights(dataset);
}

Json expert_report(const std::vector<std::int64_t>& loads, const std::vector<double>& bias,
                   double dead) {
  Json report = {{"dead", dead_experts(loads, dead)}, {"loads", loads}};
  if (!bias.empty()) report["bias"] = bias;
  return report;
}

void print_experts(const Json& layer) {
  const auto loads = layer["loads"].get<std::vector<double>>();
  double total = 0;
  for (const double load : loads) total += load;
  const double mean = std::max(total / static_cast<double>(loads.size()), 1e-300);
  for (std::size_t first = 0; first < loads.size(); first += kExpertsOfLine) {
    const std::size_t end = std::min(first + kExpertsOfLine, loads.size());
    std::string line = fmt::format("  {:>4}  load/mean", first);
    for (std::size_t e = first; e < end; ++e) line += fmt::format(" {:7.3f}", loads[e] / mean);
    fmt::print("{}\n", line);
    if (!layer.contains("bias")) continue;
    line = fmt::format("  {:>4}  bias     ", "");
    for (std::size_t e = first; e < end; ++e)
      line += fmt::format(" {:7.4f}", layer["bias"][e].get<double>());
    fmt::print("{}\n", line);
  }
}

int inspect(const Options& options) {
  if (!options.html.empty()) {
    write_page(options);
    return static_cast<int>(ExitCode::done);
  }
  check_options(options);
  Json result;
  bool equal = true;
  if (options.diff) {
    result["diff"] = diff_report(options.paths[0], options.paths[1], options);
    equal = result["diff"]["equal"].get<bool>();
  } else {
    const std::string& path = options.paths[0];
    const bool run = RunFolder::holds_run(path);
    if (options.join) {
      if (!run) fail(ExitCode::usage, "moray inspect --join: {} is not a run", path);
      join_metrics(path);
      if (fp8_metrics::present(path)) join_metrics(fp8_metrics::folder(path));
    }
    if (options.fp8 && run && fp8_metrics::present(path)) {
      result["fp8"] = fp8_statistics(path);
      print(result, options.json);
      return static_cast<int>(ExitCode::done);
    }
    if (run) result["run"] = run_report(path, options);
    if (has_checkpoint(path, run)) result["checkpoint"] = checkpoint_report(path, options);
  }
  print(result, options.json);
  return static_cast<int>(equal ? ExitCode::done : ExitCode::numerics);
}

}  // namespace moray
