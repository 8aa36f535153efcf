// moray inspect RUN --fp8: what quantisation did to each tensor in the newest step that counted.
#include <fmt/format.h>

#include <algorithm>

#include "inspect.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

/// "12.3 %" of a count; small parts are seen.
std::string part_of(const Json& count, const Json& all) {
  return fmt::format("{:.4g} %", 100 * count.get<double>() / all.get<double>());
}

/// "2^-12 .. 2^-7", the powers of two at or below the scales.
std::string range_of(const Json& scales) {
  const auto first = scales["exponent"].get<std::int64_t>();
  const auto last = first + static_cast<std::int64_t>(scales["blocks"].size()) - 1;
  return first == last ? fmt::format("2^{}", first) : fmt::format("2^{} .. 2^{}", first, last);
}

}  // namespace

void print_fp8_run(const Json& fp8) {
  if (fp8["tensors"].empty()) {
    fmt::print("no step has counted yet\n");
    return;
  }
  std::size_t widest = 6;
  for (const Json& tensor : fp8["tensors"])
    widest = std::max(widest, tensor["name"].get_ref<const std::string&>().size());
  fmt::print(
      "FP8 in step {}, the last of {} that counted; clamped: blocks whose amax is below 1e-4\n",
      fp8["step"].get<std::int64_t>(), fp8["counted_steps"].get<std::int64_t>());
  fmt::print("{:<{}}  as {:>11} {:>12} {:>12} {:>12} {:>10}  {}\n", "tensor", widest, "least amax",
             "largest amax", "underflow", "saturated", "clamped", "scales");
  for (const Json& tensor : fp8["tensors"]) {
    std::string name = tensor["name"].get<std::string>();
    for (const char* role : {"x", "dy", "w"}) {
      if (!tensor.contains(role)) continue;
      const Json& r = tensor[role];
      fmt::print("{:<{}}  {:<2} {:>11.3e} {:>12.3e} {:>12} {:>12} {:>10}  {}\n", name, widest, role,
                 real_of(r["least_amax"]), real_of(r["largest_amax"]),
                 part_of(r["underflow"], r["values"]), part_of(r["saturated"], r["values"]),
                 part_of(r["clamped"], r["blocks"]), range_of(r["scales"]));
      name.clear();
    }
  }
}

}  // namespace moray
