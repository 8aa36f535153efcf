#pragma once

#include <nlohmann/json.hpp>

#include "options.hpp"

namespace moray {

/// What `moray inspect` finds, as the JSON that docs/schema/inspect.schema.json describes; the
/// tables are printed from it.
nlohmann::ordered_json checkpoint_report(const std::string& path, const Options& options);
nlohmann::ordered_json run_report(const std::string& path, const Options& options);
nlohmann::ordered_json diff_report(const std::string& a, const std::string& b,
                                   const Options& options);

/// `moray inspect --html`: the page of the runs in options.paths.
void write_page(const Options& options);

/// `moray inspect --fp8` of a checkpoint, or of a run's newest one.
nlohmann::ordered_json fp8_report(const std::string& path);

void print_checkpoint(const nlohmann::ordered_json& report);
void print_run(const nlohmann::ordered_json& report);
void print_fp8(const nlohmann::ordered_json& fp8);
void print_fp8_run(const nlohmann::ordered_json& report);
void print_diff(const nlohmann::ordered_json& report);

/// NaN and infinity, which JSON lacks, are null, and null is NaN.
nlohmann::ordered_json json_real(double value);
double real_of(const nlohmann::ordered_json& value);
/// "4 x 16 x 32"
std::string shape_text(const nlohmann::ordered_json& shape);
/// Whether a dataset is shown with --all alone: moments, moving average, and FP8 forms of weights.
bool is_secondary(const std::string& dataset);
/// A balance of experts: {"loads", "dead"} and "bias" if the gate has one.
nlohmann::ordered_json expert_report(const std::vector<std::int64_t>& loads,
                                     const std::vector<double>& bias, double dead);
/// Loads in parts of the mean, and the bias, in lines of 16 experts.
void print_experts(const nlohmann::ordered_json& layer);

}  // namespace moray
