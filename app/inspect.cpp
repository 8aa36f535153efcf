// moray inspect: what a checkpoint or a run holds. Serial: starts neither MPI nor Kokkos.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "inspection/tensor_statistics.hpp"
#include "io/metrics.hpp"
#include "io/run_folder.hpp"
#include "planning/parameter_plan.hpp"
#include "stored_model.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kLastRows = 10;

/// NaN is null in JSON.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

bool of_optimizer(const std::string& name) {
  return name.starts_with("optimizer/") || name.starts_with("ema/");
}

/// One object a tensor; those of the optimizer only when asked for.
Json tensors_of(const Checkpoint& checkpoint, bool all) {
  Json tensors = Json::array();
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    const DatasetSpec& spec = stored.spec;
    if (!all && of_optimizer(spec.name)) continue;
    const TensorStatistics s = tensor_statistics(checkpoint, spec);
    tensors.push_back({{"name", spec.name},
                       {"shape", spec.shape},
                       {"dtype", name_of(spec.dtype)},
                       {"norm", number(s.norm)},
                       {"min", number(s.min)},
                       {"max", number(s.max)},
                       {"not_finite", s.not_finite}});
  }
  return tensors;
}

template <class T>
std::vector<T> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const DatasetSpec& spec = checkpoint.find(name).spec;
  std::vector<T> values(static_cast<std::size_t>(BlockGrid(spec).elements()));
  checkpoint.read(name, 0, static_cast<std::int64_t>(values.size()), values.data());
  return values;
}

/// Loads of the last step, selection bias and MaxVio of each MoE layer, MTP modules last.
Json layers_of(const Checkpoint& checkpoint) {
  Json layers = Json::array();
  const std::string end = "/mlp/gate/loads";
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    const std::string& name = stored.spec.name;
    if (!name.ends_with(end)) continue;
    const std::string gate = name.substr(0, name.size() - std::string("loads").size());
    const auto loads = values_of<std::int64_t>(checkpoint, name);
    Json layer = {{"name", name.substr(0, name.size() - end.size())},
                  {"max_violation", number(max_violation(loads))},
                  {"loads", loads}};
    const std::string bias = gate + "e_score_correction_bias";
    if (checkpoint.contains(bias)) layer["bias"] = values_of<float>(checkpoint, bias);
    layers.push_back(std::move(layer));
  }
  return layers;
}

Json checkpoint_of(const std::string& path, bool all) {
  const StoredModel stored(path);
  const Checkpoint& checkpoint = stored.checkpoint();
  const ParameterPlan p = count_parameters(Model<float>(stored.deck().model));
  return {{"path", checkpoint.path()},
          {"digest", checkpoint.digest()},
          {"step", checkpoint.step()},
          {"samples", checkpoint.integer("samples")},
          {"tokens", checkpoint.integer("tokens")},
          {"date", checkpoint.manifest().date},
          {"software", checkpoint.manifest().software},
          {"parameters", {{"total", p.total}, {"active", p.active}, {"mtp", p.mtp}}},
          {"tensors", tensors_of(checkpoint, all)},
          {"layers", layers_of(checkpoint)}};
}

/// STATUS and the scalars of the last rows.
Json run_of(const std::string& path) {
  Json run = {{"path", path}, {"status", RunFolder::open(path).status()}};
  const MetricTable table = read_metrics(path);
  Json rows = Json::array();
  for (std::int64_t row = std::max<std::int64_t>(table.rows - kLastRows, 0); row < table.rows;
       ++row) {
    Json values;
    for (const MetricColumn& column : table.schema.columns()) {
      if (!column.shape.empty()) continue;
      const auto at = static_cast<std::size_t>(row);
      if (column.dtype == Dtype::int64) values[column.name] = table.integers(column.name)[at];
      if (column.dtype == Dtype::float64)
        values[column.name] = number(table.reals(column.name)[at]);
    }
    rows.push_back(std::move(values));
  }
  run["rows"] = std::move(rows);
  return run;
}

double real_or_nan(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

void print_checkpoint(const Json& c) {
  fmt::print("checkpoint {}\n  step {}, {} samples, {} tokens, written {} by {}\n",
             c["path"].get<std::string>(), c["step"].get<std::int64_t>(),
             c["samples"].get<std::int64_t>(), c["tokens"].get<std::int64_t>(),
             c["date"].get<std::string>(), c["software"].get<std::string>());
  const Json& p = c["parameters"];
  fmt::print("  parameters {} total, {} active, {} unique to MTP modules\n\n",
             p["total"].get<std::int64_t>(), p["active"].get<std::int64_t>(),
             p["mtp"].get<std::int64_t>());
  fmt::print("{:<62} {:>16} {:<8} {:>11} {:>11} {:>11}\n", "tensor", "shape", "dtype", "norm",
             "min", "max");
  for (const Json& t : c["tensors"]) {
    const auto bad = t["not_finite"].get<std::int64_t>();
    fmt::print("{:<62} {:>16} {:<8} {:>11.4e} {:>11.3e} {:>11.3e}{}\n",
               t["name"].get<std::string>(),
               fmt::format("{}", fmt::join(t["shape"].get<std::vector<std::int64_t>>(), " x ")),
               t["dtype"].get<std::string>(), real_or_nan(t["norm"]), real_or_nan(t["min"]),
               real_or_nan(t["max"]), bad > 0 ? fmt::format("  {} NOT FINITE", bad) : "");
  }
  for (const Json& layer : c["layers"]) {
    fmt::print("\n{}  MaxVio {:.3f}\n  loads {}\n", layer["name"].get<std::string>(),
               real_or_nan(layer["max_violation"]),
               fmt::join(layer["loads"].get<std::vector<std::int64_t>>(), " "));
    if (layer.contains("bias"))
      fmt::print("  bias  {:.4f}\n", fmt::join(layer["bias"].get<std::vector<double>>(), " "));
  }
}

void print_run(const Json& run) {
  fmt::print("run {}\n  status {}\n", run["path"].get<std::string>(),
             run["status"].get<std::string>());
  for (const Json& row : run["rows"]) {
    const double validation = real_or_nan(row["validation_loss"]);
    fmt::print("  step {:>8}  loss {:8.4f}  gnorm {:9.4f}  lr {:.3e}{}\n",
               row["step"].get<std::int64_t>(), real_or_nan(row["loss"]),
               real_or_nan(row["gradient_norm"]), real_or_nan(row["learning_rate"]),
               std::isnan(validation) ? "" : fmt::format("  validation {:.4f}", validation));
  }
  fmt::print("\n");
}

}  // namespace

int inspect(const Options& options) {
  const bool run = RunFolder::holds_run(options.model);
  Json result;
  if (run) result["run"] = run_of(options.model);
  result["checkpoint"] = checkpoint_of(options.model, options.all);
  if (options.json) {
    fmt::print("{}\n", result.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    if (run) print_run(result["run"]);
    print_checkpoint(result["checkpoint"]);
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
