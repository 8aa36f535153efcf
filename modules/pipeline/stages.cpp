#include "pipeline/stages.hpp"

#include <fmt/format.h>

#include <cmath>

#include "config/number.hpp"
#include "core/error.hpp"

namespace moray {
namespace {

double layer_flops(const ModelConfig& config, std::int64_t length, bool dense) {
  const AttentionConfig& a = config.attention;
  const MoeConfig& e = config.moe;
  const std::int64_t d = config.model.width;
  const std::int64_t query = a.heads * (a.nope_width + a.rope_width);
  std::int64_t matrices = d * (a.latent + a.rope_width) +
                          a.latent * a.heads * (a.nope_width + a.value_width) +
                          a.heads * a.value_width * d;
  matrices += a.query_latent > 0 ? a.query_latent * (d + query) : d * query;
  matrices += dense ? 3 * d * config.model.dense_width
                    : 3 * d * e.width * (e.top_k + e.shared_experts) + d * e.experts;
  const std::int64_t scores =
      length * a.heads * (a.nope_width + a.rope_width + a.value_width);  // 2 S / 2
  return static_cast<double>(2 * matrices + scores);
}

/// "4x14" or "4".
struct Repeat {
  std::int64_t layers = 0;
  std::int64_t times = 1;
};

Repeat parse_repeat(std::string_view part, std::string_view text) {
  const auto number = [&](std::string_view digits, std::int64_t least) {
    std::int64_t value = 0;
    if (!parse_number(digits, value).empty() || value < least)
      fail(ExitCode::usage,
           "stages '{}': '{}' is not a number of layers, or LAYERSxSTAGES such as 4x14", text,
           part);
    return value;
  };
  const std::size_t x = part.find('x');
  if (x == std::string_view::npos) return {number(part, 0), 1};
  return {number(part.substr(0, x), 0), number(part.substr(x + 1), 1)};
}

}  // namespace

LayerCosts forward_costs(const ModelConfig& config, std::int64_t length) {
  LayerCosts costs;
  const ModelSizes& m = config.model;
  const double head = 2.0 * static_cast<double>(m.vocabulary) * static_cast<double>(m.width);
  for (std::int64_t i = 0; i < m.layers; ++i)
    costs.layers.push_back(
        layer_flops(config, length, i < m.dense_layers || config.moe.experts == 0));
  // A module: eh_proj over twice the width, a block as the trunk's last one, the head again.
  const double module = 4.0 * static_cast<double>(m.width) * static_cast<double>(m.width) +
                        layer_flops(config, length, config.moe.experts == 0) + head;
  costs.last = head + static_cast<double>(config.mtp.depth) * module;
  return costs;
}

std::vector<double> stage_costs(const LayerCosts& costs, const std::vector<StageLayers>& stages) {
  std::vector<double> sums;
  for (const StageLayers& s : stages) {
    double sum = &s == &stages.front() ? costs.embedding : 0;
    for (std::int64_t i = s.first; i < s.first + s.count; ++i)
      sum += costs.layers[static_cast<std::size_t>(i)];
    sums.push_back(sum + (&s == &stages.back() ? costs.last : 0));
  }
  return sums;
}

std::vector<StageLayers> parse_stages(std::string_view text, std::int64_t layers, int stages) {
  std::vector<StageLayers> result;
  std::int64_t next = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const Repeat repeat = parse_repeat(text.substr(at, comma - at), text);
    for (std::int64_t i = 0; i < repeat.times; ++i) {
      if (static_cast<int>(result.size()) == stages)
        fail(ExitCode::usage, "stages '{}' are more than the {} that there are", text, stages);
      result.push_back({next, std::min(repeat.layers, layers + 1)});  // never an overflow
      next += result.back().count;
    }
    at = comma + 1;
  }
  if (static_cast<int>(result.size()) != stages)
    fail(ExitCode::usage, "stages '{}' are {}, and there are {}", text, result.size(), stages);
  if (next > layers)
    fail(ExitCode::usage, "stages '{}' have more layers than the model's {}", text, layers);
  if (next < layers)
    fail(ExitCode::usage, "stages '{}' have {} layers together, and the model has {}", text, next,
         layers);
  for (std::size_t s = 0; s + 1 < result.size(); ++s)
    if (result[s].count == 0)
      fail(ExitCode::usage, "stages '{}': stage {} has no layer; only the last one may have none",
           text, s);
  return result;
}

std::string to_text(const std::vector<StageLayers>& stages) {
  std::string text;
  for (std::size_t s = 0; s < stages.size();) {
    std::size_t end = s;
    while (end < stages.size() && stages[end].count == stages[s].count) ++end;
    if (s > 0) text += ",";
    text += fmt::format("{}", stages[s].count);
    if (end > s + 1) text += fmt::format("x{}", end - s);
    s = end;
  }
  return text;
}

}  // namespace moray
