// moray inspect RUN: its state, its last steps, and the balance of its experts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "inspect.hpp"
#include "inspection/balance.hpp"
#include "io/metrics.hpp"
#include "io/run_folder.hpp"
#include "model/model.hpp"
#include "training/deck.hpp"
#include "training/state.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kLastRows = 10;

/// The scalars of the last rows.
Json rows_of(const MetricTable& table) {
  Json rows = Json::array();
  for (std::int64_t row = std::max<std::int64_t>(table.rows - kLastRows, 0); row < table.rows;
       ++row) {
    Json values;
    const auto at = static_cast<std::size_t>(row);
    for (const MetricColumn& column : table.schema.columns()) {
      if (!column.shape.empty()) continue;
      if (column.dtype == Dtype::float64) {
        values[column.name] = json_real(table.reals(column.name)[at]);
      } else {
        const std::int64_t value = table.integers(column.name)[at];
        values[column.name] = value == kMissingInteger ? Json(nullptr) : Json(value);
      }
    }
    rows.push_back(std::move(values));
  }
  return rows;
}

/// "model/layers/3" of each MoE layer, in the order of the metrics, from the run's own deck.
std::vector<std::string> layer_names(const std::string& run) {
  const std::string place = run + "/resolved.yaml";
  const DeckReading reading = try_read_deck(place);
  if (!reading.problems.empty()) throw Error(ExitCode::io, reading.problems.report(place));
  std::vector<std::string> names;
  const Model<float> model(reading.deck.model);
  for (const Moe<float>* moe : model.moe_layers()) {
    std::string name = dataset_name(moe->name());  // ends in "/mlp/"
    names.push_back(name.substr(0, name.size() - std::string("/mlp/").size()));
  }
  return names;
}

Json balance_report(const std::string& run, const MetricTable& table, const Options& options) {
  const Balance balance = balance_of(table, options.window);
  if (balance.layers.empty()) return nullptr;
  const std::vector<std::string> names = layer_names(run);
  MORAY_REQUIRE(names.size() == balance.layers.size());
  Json layers = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const LayerBalance& b = balance.layers[i];
    Json layer = {{"name", names[i]},
                  {"max_violation", b.last_violation},
                  {"mean_max_violation", b.mean_violation},
                  {"window_max_violation", b.window_violation}};
    layer.update(expert_report(b.loads, b.bias, options.dead));
    layers.push_back(std::move(layer));
  }
  return {{"first_step", balance.first_step},
          {"last_step", balance.last_step},
          {"rows", balance.rows},
          {"dead_below", options.dead},
          {"layers", layers}};
}

void print_balance(const Json& balance) {
  fmt::print("experts in {} logged steps, {} to {}; dead: below {} of the mean load\n",
             balance["rows"].get<std::int64_t>(), balance["first_step"].get<std::int64_t>(),
             balance["last_step"].get<std::int64_t>(), balance["dead_below"].get<double>());
  fmt::print("  {:<20} {:>12} {:>12} {:>12} {:>9} {:>9} {:>9}\n", "MaxVio of", "last step",
             "mean of all", "summed", "dead", "min load", "max load");
  for (const Json& layer : balance["layers"]) {
    const auto loads = layer["loads"].get<std::vector<double>>();
    double total = 0;
    for (const double load : loads) total += load;
    const double mean = std::max(total / static_cast<double>(loads.size()), 1e-300);
    const auto [least, most] = std::minmax_element(loads.begin(), loads.end());
    fmt::print("  {:<20} {:>12.4f} {:>12.4f} {:>12.4f} {:>9} {:>9.4f} {:>9.4f}\n",
               layer["name"].get<std::string>(), real_of(layer["max_violation"]),
               real_of(layer["mean_max_violation"]), real_of(layer["window_max_violation"]),
               fmt::format("{} of {}", layer["dead"].size(), loads.size()), *least / mean,
               *most / mean);
  }
  for (const Json& layer : balance["layers"]) {
    fmt::print("{}\n", layer["name"].get<std::string>());
    print_experts(layer);
  }
  fmt::print("\n");
}

}  // namespace

Json run_report(const std::string& path, const Options& options) {
  Json run = {{"path", path}, {"status", RunFolder::open(path).status()}};
  const MetricTable table = read_metrics(path);
  run["logged_steps"] = table.rows;
  run["rows"] = rows_of(table);
  if (Json balance = balance_report(path, table, options); !balance.is_null())
    run["balance"] = std::move(balance);
  return run;
}

void print_run(const Json& run) {
  fmt::print("run {}\n  status {}\n\n", run["path"].get<std::string>(),
             run["status"].get<std::string>());
  for (const Json& row : run["rows"]) {
    const double validation = real_of(row["validation_loss"]);
    fmt::print("  step {:>8}  loss {:8.4f}  gnorm {:9.4f}  lr {:.3e}{}\n",
               row["step"].get<std::int64_t>(), real_of(row["loss"]), real_of(row["gradient_norm"]),
               real_of(row["learning_rate"]),
               std::isnan(validation) ? "" : fmt::format("  validation {:.4f}", validation));
  }
  fmt::print("\n");
  if (run.contains("balance")) print_balance(run["balance"]);
}

}  // namespace moray
