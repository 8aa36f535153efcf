#include "inspection/fp8_report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.hpp"
#include "inspection/envelope.hpp"
#include "io/metrics.hpp"
#include "kernels/quantize/quantize_statistics.hpp"
#include "training/fp8_metrics.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::array<const char*, 3> kRoles = {"x", "dy", "w"};

Json number(double value) {
  return std::isfinite(value) ? Json(seven_digits(value)) : Json(nullptr);
}

Json numbers(const std::vector<double>& values) {
  Json array = Json::array();
  for (const double value : values) array.push_back(number(value));
  return array;
}

/// The blocks by the exponent of their scale, without the zeros at both ends.
Json scales_of(std::span<const std::int64_t> blocks) {
  const auto some = [](std::int64_t n) { return n > 0; };
  const auto first = std::find_if(blocks.begin(), blocks.end(), some);
  MORAY_REQUIRE(first != blocks.end());
  auto last = blocks.end();
  while (!some(*(last - 1))) --last;
  return {{"exponent", kLeastScaleExponent + (first - blocks.begin())},
          {"blocks", std::vector<std::int64_t>(first, last)}};
}

/// Of tensor and role number `i` in the last row.
Json role_of(const MetricTable& table, std::size_t i) {
  const auto count = [&](const char* name) { return table.integers(name)[i]; };
  const auto exponents = static_cast<std::size_t>(kScaleExponents);
  return {{"values", count("values")},
          {"blocks", count("blocks")},
          {"underflow", count("underflow")},
          {"saturated", count("saturated")},
          {"clamped", count("clamped")},
          {"least_amax", number(table.reals("least_amax")[i])},
          {"largest_amax", number(table.reals("largest_amax")[i])},
          {"scales", scales_of(table.integers("scales").subspan(i * exponents, exponents))}};
}

/// A line over steps: a number of all tensors, and its range over tensors.
struct Line {
  std::vector<double> all, low, high;
};

/// What was counted of a role in one row, over its values.
void add_share(std::span<const std::int64_t> counts, std::span<const std::int64_t> values,
               std::size_t role, Line& line) {
  double sum = 0, total = 0, low = kNone, high = kNone;
  for (std::size_t i = role; i < values.size(); i += kRoles.size()) {
    if (values[i] == 0) continue;
    const auto count = static_cast<double>(counts[i]), of = static_cast<double>(values[i]);
    sum += count;
    total += of;
    low = std::fmin(low, count / of);
    high = std::fmax(high, count / of);
  }
  line.all.push_back(total > 0 ? sum / total : kNone);
  line.low.push_back(low);
  line.high.push_back(high);
}

/// Lines of all rows.
struct Lines {
  std::vector<double> step, tokens;
  std::array<Line, kRoles.size()> underflow, saturated, amax;

  void add(const MetricTable& part) {
    const auto rows = static_cast<std::size_t>(part.rows);
    const std::vector<double> largest = part.reals("largest_amax");
    const std::size_t width = largest.size() / std::max<std::size_t>(rows, 1);
    const auto row_of = [&](const char* name, std::size_t row) {
      return part.integers(name).subspan(row * width, width);
    };
    for (std::size_t row = 0; row < rows; ++row) {
      step.push_back(static_cast<double>(part.integers("step")[row]));
      tokens.push_back(static_cast<double>(part.integers("tokens")[row]));
      for (std::size_t role = 0; role < kRoles.size(); ++role) {
        add_share(row_of("underflow", row), row_of("values", row), role, underflow[role]);
        add_share(row_of("saturated", row), row_of("values", row), role, saturated[role]);
        double most = kNone;
        for (std::size_t i = role; i < width; i += kRoles.size())
          most = std::fmax(most, largest[row * width + i]);
        amax[role].all.push_back(most);
      }
    }
  }
};

Json series_of(const Line& line, const Buckets& buckets) {
  Json series = {
      {"unit", "1"}, {"grid", "fp8"}, {"mean", numbers(envelope(line.all, buckets).mean)}};
  if (!line.low.empty()) {
    series["low"] = numbers(envelope(line.low, buckets).low);
    series["high"] = numbers(envelope(line.high, buckets).high);
  }
  return series;
}

/// The time after a step: that of the first row of the metrics that is not before it, or of the last.
double seconds_after(double step, const Json& rows) {
  double seconds = kNone;
  if (!rows.is_object()) return seconds;
  for (std::size_t i = 0; i < rows["step"].size(); ++i) {
    if (!rows["seconds"][i].is_number()) continue;
    seconds = rows["seconds"][i].get<double>();
    if (rows["step"][i].get<double>() >= step) break;
  }
  return seconds;
}

Json grid_of(const Lines& lines, const Buckets& buckets, const Json& rows) {
  std::vector<double> step, first, tokens, seconds;
  for (std::int64_t b = 0; b < buckets.count(); ++b) {
    const auto last = static_cast<std::size_t>(buckets.last(b));
    step.push_back(lines.step[last]);
    tokens.push_back(lines.tokens[last]);
    seconds.push_back(seconds_after(lines.step[last], rows));
    first.push_back(
        lines.step[static_cast<std::size_t>(buckets.begin[static_cast<std::size_t>(b)])]);
  }
  Json grid = {{"step", numbers(step)}, {"tokens", numbers(tokens)}, {"seconds", numbers(seconds)}};
  if (!buckets.one_row_each()) grid["first"] = numbers(first);
  return grid;
}

}  // namespace

Json fp8_statistics(const std::string& run) {
  if (!fp8_metrics::present(run)) {
    fail(ExitCode::io,
         "{}: holds no statistics of FP8; `moray train` counts them with output.fp8_every", run);
  }
  MetricTable last;
  std::int64_t steps = 0;
  visit_metrics(fp8_metrics::folder(run), {}, [&](const MetricTable& part) {
    steps += part.rows;
    last = part;
    last.cut(part.rows > 1 ? part.step(part.rows - 2) : INT64_MIN, INT64_MAX);
  });
  if (steps == 0) return {{"step", 0}, {"counted_steps", 0}, {"tensors", Json::array()}};
  const std::vector<std::string> names = fp8_metrics::tensors(run);
  if (last.integers("values").size() != names.size() * kRoles.size())
    fail(ExitCode::io, "{}: tensors.txt names {} tensors, but the rows have {}",
         fp8_metrics::folder(run), names.size(), last.integers("values").size() / kRoles.size());
  Json tensors = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) {
    Json tensor = {{"name", names[i]}};
    for (std::size_t role = 0; role < kRoles.size(); ++role) {
      const std::size_t at = i * kRoles.size() + role;
      if (last.integers("blocks")[at] > 0) tensor[kRoles[role]] = role_of(last, at);
    }
    tensors.push_back(std::move(tensor));
  }
  return {{"step", last.step(0)}, {"counted_steps", steps}, {"tensors", tensors}};
}

void add_fp8(const std::string& run, const ReportLimits& limits, Json& report) {
  if (!fp8_metrics::present(run)) return;
  Json newest = fp8_statistics(run);
  if (newest["tensors"].empty()) return;
  Lines lines;
  visit_metrics(fp8_metrics::folder(run),
                {"tokens", "values", "underflow", "saturated", "largest_amax"},
                [&](const MetricTable& part) { lines.add(part); });
  const Buckets buckets(static_cast<std::int64_t>(lines.step.size()), limits.points);
  const Json rows = report.contains("grids") && report["grids"].contains("rows")
                        ? report["grids"]["rows"]
                        : Json();
  report["grids"]["fp8"] = grid_of(lines, buckets, rows);
  for (std::size_t role = 0; role < kRoles.size(); ++role) {
    const std::string name = kRoles[role];
    report["series"]["fp8_underflow_" + name] = series_of(lines.underflow[role], buckets);
    report["series"]["fp8_saturated_" + name] = series_of(lines.saturated[role], buckets);
    report["series"]["fp8_amax_" + name] = series_of(lines.amax[role], buckets);
  }
  report["fp8"] = std::move(newest);
}

}  // namespace moray
