// moray inspect A B --diff
#include <fmt/format.h>

#include "inspect.hpp"
#include "inspection/checkpoint_difference.hpp"
#include "io/checkpoint_folder.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

Json spec_json(const DatasetSpec& spec) {
  return {{"shape", spec.shape}, {"dtype", name_of(spec.dtype)}};
}

Json side(const Checkpoint& checkpoint) {
  return {
      {"path", checkpoint.path()}, {"step", checkpoint.step()}, {"digest", checkpoint.digest()}};
}

Json tensor_json(const TensorDifference& d) {
  return {{"name", d.name},
          {"shape", d.shape},
          {"dtype", name_of(d.dtype)},
          {"equal", d.equal()},
          {"elements", d.elements},
          {"different", d.different},
          {"not_finite", d.not_finite},
          {"max_difference", d.max},
          {"norm_difference", json_real(d.norm)},
          {"relative_norm", json_real(d.relative())}};
}

Json names_of(const std::vector<DatasetSpec>& specs) {
  Json names = Json::array();
  for (const DatasetSpec& spec : specs) names.push_back(spec.name);
  return names;
}

void print_names(const char* where, const Json& names) {
  for (const Json& name : names) fmt::print("{:<62} only in {}\n", name.get<std::string>(), where);
}

void print_sides(const Json& diff) {
  for (const char* which : {"a", "b"}) {
    const Json& s = diff[which];
    fmt::print("{}  {}, step {}\n", which, s["path"].get<std::string>(),
               s["step"].get<std::int64_t>());
  }
}

}  // namespace

Json diff_report(const std::string& a, const std::string& b, const Options& options) {
  const Checkpoint left(resolve_checkpoint(a));
  const Checkpoint right(resolve_checkpoint(b));
  const CheckpointDifference difference = compare_checkpoints(
      left, right, [&](const std::string& name) { return options.all || !is_secondary(name); });
  Json tensors = Json::array();
  for (const TensorDifference& d : difference.tensors) tensors.push_back(tensor_json(d));
  Json mismatches = Json::array();
  for (const Mismatch& m : difference.mismatches)
    mismatches.push_back({{"name", m.a.name}, {"a", spec_json(m.a)}, {"b", spec_json(m.b)}});
  return {{"a", side(left)},
          {"b", side(right)},
          {"equal", difference.equal()},
          {"only_a", names_of(difference.only_a)},
          {"only_b", names_of(difference.only_b)},
          {"mismatches", mismatches},
          {"tensors", tensors}};
}

void print_diff(const Json& diff) {
  print_sides(diff);
  fmt::print("\n{:<62} {:>16} {:<8} {:>12} {:>11} {:>11}\n", "tensor", "shape", "dtype",
             "different", "max |a-b|", "|a-b|/|a|");
  std::size_t equal = 0;
  for (const Json& t : diff["tensors"]) {
    const std::string head = fmt::format("{:<62} {:>16} {:<8}", t["name"].get<std::string>(),
                                         shape_text(t["shape"]), t["dtype"].get<std::string>());
    if (t["equal"].get<bool>()) {
      ++equal;
      fmt::print("{} {:>12}\n", head, "equal bits");
      continue;
    }
    const auto bad = t["not_finite"].get<std::int64_t>();
    fmt::print("{} {:>12} {:>11.3e} {:>11.3e}{}\n", head, t["different"].get<std::int64_t>(),
               real_of(t["max_difference"]), real_of(t["relative_norm"]),
               bad > 0 ? fmt::format("  {} NOT FINITE", bad) : "");
  }
  for (const Json& m : diff["mismatches"]) {
    fmt::print("{:<62} a: {} {}, b: {} {}\n", m["name"].get<std::string>(),
               shape_text(m["a"]["shape"]), m["a"]["dtype"].get<std::string>(),
               shape_text(m["b"]["shape"]), m["b"]["dtype"].get<std::string>());
  }
  print_names("a", diff["only_a"]);
  print_names("b", diff["only_b"]);
  fmt::print(
      "\n{} tensors in both: {} with equal bits, {} not; {} of another shape or dtype; {} only "
      "in a, {} only in b\n",
      diff["tensors"].size(), equal, diff["tensors"].size() - equal, diff["mismatches"].size(),
      diff["only_a"].size(), diff["only_b"].size());
}

}  // namespace moray
