// moray inspect CHECKPOINT
#include <fmt/format.h>

#include "inspect.hpp"
#include "inspection/tensor_statistics.hpp"
#include "planning/parameter_plan.hpp"
#include "stored_model.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

/// One object a tensor; those of the optimizer only when asked for.
Json tensors_of(const Checkpoint& checkpoint, bool all) {
  Json tensors = Json::array();
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    const DatasetSpec& spec = stored.spec;
    if (!all && is_secondary(spec.name)) continue;
    const TensorStatistics s = tensor_statistics(checkpoint, spec);
    Json first = Json::array();
    for (const double value : s.first) first.push_back(json_real(value));
    tensors.push_back({{"name", spec.name},
                       {"shape", spec.shape},
                       {"axes", spec.axes},
                       {"dtype", name_of(spec.dtype)},
                       {"norm", json_real(s.norm)},
                       {"min", json_real(s.min)},
                       {"max", json_real(s.max)},
                       {"not_finite", s.not_finite},
                       {"first", first}});
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
Json layers_of(const Checkpoint& checkpoint, double dead) {
  Json layers = Json::array();
  const std::string end = "/mlp/gate/loads";
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    const std::string& name = stored.spec.name;
    if (!name.ends_with(end)) continue;
    const auto loads = values_of<std::int64_t>(checkpoint, name);
    const std::string layer = name.substr(0, name.size() - end.size());
    const std::string bias_name = layer + "/mlp/gate/e_score_correction_bias";
    std::vector<double> bias;
    if (checkpoint.contains(bias_name)) {
      const auto stored_bias = values_of<float>(checkpoint, bias_name);
      bias.assign(stored_bias.begin(), stored_bias.end());
    }
    Json report = {{"name", layer}, {"max_violation", max_violation(loads)}};
    report.update(expert_report(loads, bias, dead));
    layers.push_back(std::move(report));
  }
  return layers;
}

Json parameters_of(const Deck& deck) {
  const ParameterPlan p = count_parameters(Model<float>(deck.model));
  Json modules = Json::array();
  for (const ModuleParameters& m : p.modules)
    modules.push_back({{"name", m.name}, {"total", m.total}, {"active", m.active}});
  return {{"total", p.total}, {"active", p.active}, {"mtp", p.mtp}, {"modules", modules}};
}

void print_parameters(const Json& parameters) {
  fmt::print("\n{:<16} {:>14} {:>14}\n", "parameters", "total", "active");
  const auto line = [](const std::string& name, const Json& p) {
    fmt::print("  {:<14} {:>14} {:>14}\n", name, p["total"].get<std::int64_t>(),
               p["active"].get<std::int64_t>());
  };
  for (const Json& m : parameters["modules"]) line(m["name"].get<std::string>(), m);
  line("model", parameters);
  if (const auto mtp = parameters["mtp"].get<std::int64_t>(); mtp > 0)
    fmt::print("  {:<14} {:>14}   unique to MTP modules\n", "mtp", mtp);
}

void print_tensors(const Json& tensors) {
  fmt::print("\n{:<62} {:>16} {:<8} {:>11} {:>11} {:>11}  {}\n", "tensor", "shape", "dtype", "norm",
             "min", "max", "axes");
  for (const Json& t : tensors) {
    const auto bad = t["not_finite"].get<std::int64_t>();
    fmt::print("{:<62} {:>16} {:<8} {:>11.4e} {:>11.3e} {:>11.3e}  {}{}\n",
               t["name"].get<std::string>(), shape_text(t["shape"]), t["dtype"].get<std::string>(),
               real_of(t["norm"]), real_of(t["min"]), real_of(t["max"]),
               t["axes"].get<std::string>(), bad > 0 ? fmt::format("  {} NOT FINITE", bad) : "");
  }
}

}  // namespace

Json checkpoint_report(const std::string& path, const Options& options) {
  const StoredModel stored(path);
  const Checkpoint& checkpoint = stored.checkpoint();
  Json report = {{"path", checkpoint.path()},
                 {"digest", checkpoint.digest()},
                 {"step", checkpoint.step()},
                 {"samples", checkpoint.integer("samples")},
                 {"tokens", checkpoint.integer("tokens")},
                 {"date", checkpoint.manifest().date},
                 {"software", checkpoint.manifest().software},
                 {"parameters", parameters_of(stored.deck())},
                 {"tensors", tensors_of(checkpoint, options.all)},
                 {"dead_below", options.dead},
                 {"layers", layers_of(checkpoint, options.dead)}};
  if (options.fp8) report["fp8"] = fp8_report(path);
  return report;
}

void print_checkpoint(const Json& c) {
  fmt::print("checkpoint {}\n  step {}, {} samples, {} tokens, written {} by {}\n  digest {}\n",
             c["path"].get<std::string>(), c["step"].get<std::int64_t>(),
             c["samples"].get<std::int64_t>(), c["tokens"].get<std::int64_t>(),
             c["date"].get<std::string>(), c["software"].get<std::string>(),
             c["digest"].get<std::string>());
  print_parameters(c["parameters"]);
  print_tensors(c["tensors"]);
  if (!c["layers"].empty()) fmt::print("\nexperts in step {}\n", c["step"].get<std::int64_t>());
  for (const Json& layer : c["layers"]) {
    fmt::print("{}  MaxVio {:.3f}, {} of {} dead (below {} of the mean load)\n",
               layer["name"].get<std::string>(), real_of(layer["max_violation"]),
               layer["dead"].size(), layer["loads"].size(), c["dead_below"].get<double>());
    print_experts(layer);
  }
  if (c.contains("fp8")) print_fp8(c["fp8"]);
}

}  // namespace moray
