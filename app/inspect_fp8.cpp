// moray inspect CHECKPOINT --fp8: what FP8 makes of its weights.
#include <fmt/format.h>

#include <algorithm>

#include "inspect.hpp"
#include "inspection/fp8_error.hpp"
#include "io/fp8_weights.hpp"
#include "stored_model.hpp"
#include "training/fp8_state.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

/// The weights of Linears in the order of the file; those that are there in FP8 alone as the float32
/// tensors that they stand for.
std::vector<DatasetSpec> linears_of(const Checkpoint& checkpoint) {
  std::vector<DatasetSpec> weights;
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    DatasetSpec spec = stored.spec;
    if (of_fp8_weights(spec.name) && spec.dtype == Dtype::uint8) {
      spec.name = weight_of_fp8_codes(spec.name);
      spec.dtype = Dtype::float32;
      if (checkpoint.contains(spec.name)) continue;
    } else if (is_secondary(spec.name)) {
      continue;
    }
    std::string name = spec.name;
    std::replace(name.begin(), name.end(), '/', '.');
    if (is_matrix(spec) && is_linear(name)) weights.push_back(spec);
  }
  return weights;
}

Json tensor_json(const DatasetSpec& weight, const Fp8Error& e) {
  Json tensor = {{"name", weight.name},
                 {"shape", weight.shape},
                 {"stored", e.stored},
                 {"least_scale", e.least_scale},
                 {"largest_scale", e.largest_scale}};
  if (!e.compared) return tensor;
  tensor["not_finite"] = e.not_finite;
  tensor["relative_rms"] = json_real(e.relative_rms);
  tensor["calc_diff"] = e.calc_diff;
  Json worst = {{"row_block", e.worst.row},
                {"column_block", e.worst.column},
                {"relative_rms", json_real(e.worst.relative_rms)}};
  if (weight.shape.size() == 3) worst["expert"] = e.worst.expert;
  tensor["worst_block"] = std::move(worst);
  return tensor;
}

std::string block_text(const Json& worst) {
  const std::string block = fmt::format("({}, {})", worst["row_block"].get<std::int64_t>(),
                                        worst["column_block"].get<std::int64_t>());
  if (!worst.contains("expert")) return block;
  return fmt::format("{} of expert {}", block, worst["expert"].get<std::int64_t>());
}

}  // namespace

Json fp8_report(const std::string& path) {
  const StoredModel stored(path);
  const PrecisionConfig& precision = stored.deck().model.precision;
  Json tensors = Json::array();
  for (const DatasetSpec& weight : linears_of(stored.checkpoint())) {
    tensors.push_back(
        tensor_json(weight, fp8_error(stored.checkpoint(), weight, precision.scale_rule())));
  }
  return {{"scales", precision.scales}, {"tensors", tensors}};
}

void print_fp8(const Json& fp8) {
  fmt::print("\nweights in E4M3 with a scale for each 128 x 128, by precision.scales = {}\n",
             fp8["scales"].get<std::string>());
  fmt::print("{:<62} {:>16} {:<8} {:>10} {:>10} {:>10} {:>10} {:>10}  {}\n", "tensor", "shape",
             "codes", "scales >=", "scales <=", "|x-y|/|x|", "calc_diff", "worst", "block");
  for (const Json& t : fp8["tensors"]) {
    fmt::print("{:<62} {:>16} {:<8} {:>10.3e} {:>10.3e}", t["name"].get<std::string>(),
               shape_text(t["shape"]), t["stored"].get<bool>() ? "stored" : "made",
               real_of(t["least_scale"]), real_of(t["largest_scale"]));
    if (!t.contains("worst_block")) {
      fmt::print("  no float32 values to compare with\n");
      continue;
    }
    const Json& worst = t["worst_block"];
    const auto bad = t["not_finite"].get<std::int64_t>();
    fmt::print(" {:>10.3e} {:>10.3e} {:>10.3e}  {}{}\n", real_of(t["relative_rms"]),
               real_of(t["calc_diff"]), real_of(worst["relative_rms"]), block_text(worst),
               bad > 0 ? fmt::format("  {} NOT FINITE", bad) : "");
  }
}

}  // namespace moray
