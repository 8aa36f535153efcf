#include "inspection/run_series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "inspection/envelope.hpp"
#include "io/metrics.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kFewestColumns = 8;
/// Large columns, which are read part by part.
const std::vector<std::string> kMaps = {"loads", "bias"};

Json json_numbers(const std::vector<double>& values) {
  Json array = Json::array();
  for (const double value : values) {
    if (std::isfinite(value)) {
      array.push_back(seven_digits(value));
    } else {
      array.push_back(nullptr);
    }
  }
  return array;
}

/// Values of a column as doubles, (rows, shape...); missing ones are NaN.
std::vector<double> values_of(const MetricTable& table, const std::string& name) {
  const MetricColumn& column = table.schema.columns()[table.schema.index(name)];
  if (column.dtype == Dtype::float64) return table.reals(name);
  std::vector<double> values;
  for (const std::int64_t value : table.integers(name))
    values.push_back(value == kMissingInteger ? kNone : static_cast<double>(value));
  return values;
}

/// Where rows are: step, tokens and seconds of training after each.
struct Positions {
  std::vector<double> step, tokens, seconds;
};

Positions positions_of(const MetricTable& table) {
  Positions at;
  at.step = values_of(table, "step");
  const auto or_none = [&](const char* name) {
    return table.schema.contains(name) ? values_of(table, name)
                                       : std::vector<double>(at.step.size(), kNone);
  };
  at.tokens = or_none("tokens");
  at.seconds = or_none("seconds");
  double before = 0, sum = 0;
  for (std::size_t row = 0; row < at.step.size(); ++row) {
    if (std::isfinite(at.seconds[row])) sum += at.seconds[row] * (at.step[row] - before);
    before = at.step[row];
    at.seconds[row] = sum;
  }
  return at;
}

/// A grid of buckets over the rows whose numbers are given.
Json grid_of(const Positions& at, const std::vector<std::size_t>& rows, const Buckets& buckets) {
  std::vector<double> step, first, tokens, seconds;
  for (std::int64_t b = 0; b < buckets.count(); ++b) {
    const std::size_t last = rows[static_cast<std::size_t>(buckets.last(b))];
    step.push_back(at.step[last]);
    tokens.push_back(at.tokens[last]);
    seconds.push_back(at.seconds[last]);
    first.push_back(
        at.step[rows[static_cast<std::size_t>(buckets.begin[static_cast<std::size_t>(b)])]]);
  }
  Json grid = {{"step", json_numbers(step)},
               {"tokens", json_numbers(tokens)},
               {"seconds", json_numbers(seconds)}};
  if (!buckets.one_row_each()) grid["first"] = json_numbers(first);
  return grid;
}

std::vector<double> picked(const std::vector<double>& values,
                           const std::vector<std::size_t>& rows) {
  std::vector<double> result;
  for (const std::size_t row : rows) result.push_back(values[row]);
  return result;
}

/// Mean, least and largest value of each row.
struct Spread {
  std::vector<double> mean, low, high;
};

/// The first `used` of `width` values a row.
Spread spread_of(const std::vector<double>& values, std::size_t width, std::size_t used) {
  Spread s;
  for (std::size_t row = 0; row * width < values.size(); ++row) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row * width);
    const auto end = begin + static_cast<std::ptrdiff_t>(used);
    s.mean.push_back(std::accumulate(begin, end, 0.0) / static_cast<double>(used));
    s.low.push_back(*std::min_element(begin, end));
    s.high.push_back(*std::max_element(begin, end));
  }
  return s;
}

/// The lines of a run.
class SeriesWriter {
 public:
  SeriesWriter(const MetricTable& table, std::int64_t most, Json& report)
      : at_(positions_of(table)), most_(most), report_(report) {
    all_.resize(at_.step.size());
    std::iota(all_.begin(), all_.end(), std::size_t{0});
    report_["grids"]["rows"] = grid_of(at_, all_, Buckets(table.rows, most_));
  }

  void add(const std::string& name, const std::string& unit, const Spread& spread) {
    std::vector<std::size_t> rows;
    for (const std::size_t row : all_)
      if (!std::isnan(spread.mean[row])) rows.push_back(row);
    if (rows.empty()) return;
    const bool sparse = 2 * rows.size() < all_.size();
    if (!sparse) rows = all_;
    const Buckets buckets(static_cast<std::int64_t>(rows.size()), most_);
    if (sparse) report_["grids"][name] = grid_of(at_, rows, buckets);
    const auto mean = envelope(picked(spread.mean, rows), buckets).mean;
    const auto low = envelope(picked(spread.low, rows), buckets).low;
    const auto high = envelope(picked(spread.high, rows), buckets).high;
    Json series = {{"unit", unit}, {"grid", sparse ? name : "rows"}, {"mean", json_numbers(mean)}};
    const Json lows = json_numbers(low), highs = json_numbers(high);
    if (lows != series["mean"] || highs != series["mean"]) {
      series["low"] = lows;
      series["high"] = highs;
    }
    report_["series"][name] = std::move(series);
  }

  const Positions& positions() const { return at_; }
  const std::vector<std::size_t>& all() const { return all_; }

 private:
  Positions at_;
  std::int64_t most_;
  Json& report_;
  std::vector<std::size_t> all_;
};

void add_series(const MetricTable& table, std::int64_t trunk, SeriesWriter& writer) {
  for (const MetricColumn& column : table.schema.columns()) {
    if (column.name == "step" || column.name == "tokens" || column.name == "samples") continue;
    const std::vector<double> values = values_of(table, column.name);
    const auto width = static_cast<std::size_t>(column.values());
    if (column.shape.empty()) {
      writer.add(column.name, column.unit, {values, values, values});
    } else if (column.axes == "module") {
      for (std::size_t k = 0; k < width; ++k) {
        std::vector<double> one;
        for (std::size_t i = k; i < values.size(); i += width) one.push_back(values[i]);
        writer.add(fmt::format("{}[{}]", column.name, k), column.unit, {one, one, one});
      }
    } else if (width > 0) {
      const std::size_t used = trunk > 0 ? std::min(width, static_cast<std::size_t>(trunk)) : width;
      writer.add(column.name, column.unit, spread_of(values, width, used));
    }
  }
}

/// Sums of loads relative to their mean, and the last biases, for each bucket.
class MapWriter {
 public:
  MapWriter(std::int64_t layers, std::int64_t experts, Buckets buckets)
      : layers_(layers), experts_(experts), buckets_(std::move(buckets)) {
    const auto cells = static_cast<std::size_t>(buckets_.count() * layers_ * experts_);
    loads_.assign(cells, 0);
    bias_.assign(cells, kNone);
    means_.assign(static_cast<std::size_t>(buckets_.count() * layers_), 0);
    counts_.assign(static_cast<std::size_t>(buckets_.count()), 0);
  }

  /// The next rows of the run.
  void add(const MetricTable& part) {
    const bool has_loads = fits(part, "loads"), has_bias = fits(part, "bias");
    const std::vector<double> loads = has_loads ? values_of(part, "loads") : std::vector<double>();
    const std::vector<double> bias = has_bias ? values_of(part, "bias") : std::vector<double>();
    const auto width = static_cast<std::size_t>(layers_ * experts_);
    for (std::int64_t row = 0; row < part.rows; ++row, ++row_) {
      while (bucket_ + 1 < buckets_.count() && row_ > buckets_.last(bucket_)) ++bucket_;
      const std::size_t from = static_cast<std::size_t>(row) * width;
      const std::size_t to = static_cast<std::size_t>(bucket_) * width;
      if (has_loads) add_loads(loads.data() + from, loads_.data() + to);
      if (has_bias) std::copy_n(bias.data() + from, width, bias_.data() + to);
      any_bias_ = any_bias_ || has_bias;
    }
  }

  Json loads() {
    const auto width = static_cast<std::size_t>(layers_ * experts_);
    for (std::size_t i = 0; i < loads_.size(); ++i) {
      const double count = counts_[i / width];
      loads_[i] = count > 0 ? loads_[i] / count : kNone;
    }
    for (std::size_t i = 0; i < means_.size(); ++i)
      means_[i] /= std::max(counts_[i / static_cast<std::size_t>(layers_)], 1.0);
    Json map = packed(loads_, 0);
    map["mean_load"] = json_numbers(means_);
    return map;
  }
  Json bias() const { return any_bias_ ? packed(bias_, kNone) : Json(nullptr); }
  bool any_loads() const { return *std::max_element(counts_.begin(), counts_.end()) > 0; }

 private:
  bool fits(const MetricTable& part, const std::string& name) const {
    if (!part.schema.contains(name)) return false;
    const MetricColumn& column = part.schema.columns()[part.schema.index(name)];
    return column.shape == std::vector<std::int64_t>{layers_, experts_};
  }

  /// A layer without tokens counts as even.
  void add_loads(const double* row, double* sums) {
    if (std::isnan(row[0])) return;
    const auto bucket = static_cast<std::size_t>(bucket_);
    for (std::int64_t layer = 0; layer < layers_; ++layer) {
      const double* loads = row + layer * experts_;
      const double mean =
          std::accumulate(loads, loads + experts_, 0.0) / static_cast<double>(experts_);
      means_[bucket * static_cast<std::size_t>(layers_) + static_cast<std::size_t>(layer)] += mean;
      for (std::int64_t e = 0; e < experts_; ++e)
        sums[layer * experts_ + e] += mean > 0 ? loads[e] / mean : 1.0;
    }
    counts_[bucket] += 1;
  }

  /// `low` NaN: that of the values.
  Json packed(const std::vector<double>& values, double low) const {
    double least = low, most = kNone;
    for (const double value : values) {
      if (!std::isfinite(value)) continue;
      least = std::isnan(least) ? value : std::min(least, value);
      most = std::isnan(most) ? value : std::max(most, value);
    }
    if (std::isnan(least)) least = 0;
    if (std::isnan(most)) most = least;
    return {{"layers", layers_},
            {"experts", experts_},
            {"low", least},
            {"high", most},
            {"values", pack_values(values, least, most)}};
  }

  std::int64_t layers_, experts_;
  Buckets buckets_;
  std::int64_t row_ = 0, bucket_ = 0;
  std::vector<double> loads_, bias_;  // (bucket, layer, expert)
  std::vector<double> means_;         // mean load, (bucket, layer)
  std::vector<double> counts_;        // rows with loads, (bucket)
  bool any_bias_ = false;
};

}  // namespace

void add_metrics(const std::string& run, std::int64_t trunk, const ReportLimits& limits,
                 Json& report) {
  MetricTable table;
  std::vector<std::int64_t> shape;
  visit_metrics(run, {}, [&](const MetricTable& part) {
    std::vector<std::string> small;
    for (const MetricColumn& column : part.schema.columns()) {
      if (std::find(kMaps.begin(), kMaps.end(), column.name) == kMaps.end())
        small.push_back(column.name);
      if (column.name == "loads") shape = column.shape;
    }
    table.append(part.select(small));
  });
  report["rows"] = table.rows;
  report["grids"] = report["series"] = report["maps"] = Json::object();
  if (table.rows == 0) return;
  SeriesWriter writer(table, limits.points, report);
  add_series(table, trunk, writer);
  if (shape.size() != 2 || shape[0] * shape[1] == 0) return;
  const std::int64_t columns =
      std::clamp(limits.cells / (shape[0] * shape[1]), kFewestColumns, limits.columns);
  const Buckets buckets(table.rows, columns);
  MapWriter maps(shape[0], shape[1], buckets);
  visit_metrics(run, kMaps, [&](const MetricTable& part) { maps.add(part); });
  if (!maps.any_loads()) return;
  report["grids"]["maps"] = grid_of(writer.positions(), writer.all(), buckets);
  report["maps"]["loads"] = maps.loads();
  if (Json bias = maps.bias(); !bias.is_null()) report["maps"]["bias"] = std::move(bias);
}

}  // namespace moray
