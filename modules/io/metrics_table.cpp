#include "io/metrics.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <set>

#include "core/error.hpp"
#include "io/checkpoint_format.hpp"
#include "io/json.hpp"

namespace moray {
namespace {

std::int64_t missing(Dtype dtype) {
  return dtype == Dtype::int64
             ? kMissingInteger
             : std::bit_cast<std::int64_t>(std::numeric_limits<double>::quiet_NaN());
}

bool is_word(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

std::int64_t MetricColumn::values() const {
  return checked_elements(shape, dtype, name);
}

MetricSchema::MetricSchema(std::vector<MetricColumn> columns) : columns_(std::move(columns)) {
  std::set<std::string> names;
  for (const MetricColumn& column : columns_) {
    if (!is_word(column.name) || !names.insert(column.name).second)
      fail(ExitCode::io, "metrics: '{}' is no name of a column, or there twice", column.name);
    if (column.dtype != Dtype::float64 && column.dtype != Dtype::int64)
      fail(ExitCode::io, "metrics: {} is neither float64 nor int64", column.name);
    words_.push_back(words_.back() + column.values());
  }
  if (columns_.empty() || columns_[0].name != "step" || columns_[0].dtype != Dtype::int64 ||
      !columns_[0].shape.empty())
    fail(ExitCode::io, "metrics: the first column must be the int64 'step'");
}

bool MetricSchema::contains(const std::string& name) const {
  return std::any_of(columns_.begin(), columns_.end(),
                     [&](const MetricColumn& column) { return column.name == name; });
}

std::size_t MetricSchema::index(const std::string& name) const {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].name == name) return i;
  }
  fail(ExitCode::io, "metrics: there is no column '{}'", name);
}

std::string MetricSchema::to_json() const {
  nlohmann::json json = nlohmann::json::array();
  for (const MetricColumn& column : columns_) {
    json.push_back({{"name", column.name},
                    {"unit", column.unit},
                    {"dtype", name_of(column.dtype)},
                    {"shape", column.shape},
                    {"axes", column.axes}});
  }
  return nlohmann::json{{"columns", json}}.dump();
}

MetricSchema MetricSchema::from_json(const std::string& text, const std::string& place) {
  const nlohmann::json json = parse_json(text, {std::size_t{1} << 20, 5}, place);
  std::vector<MetricColumn> columns;
  for (const auto& entry : json_array(json, "columns", place)) {
    MetricColumn column{json_string(entry, "name", place), json_string(entry, "unit", place)};
    column.dtype = dtype_named(json_string(entry, "dtype", place)).value_or(Dtype::uint8);
    column.axes = json_string(entry, "axes", place);
    for (const auto& extent : json_array(entry, "shape", place)) {
      if (!extent.is_number_integer()) fail(ExitCode::io, "{}: shape is not integer", place);
      column.shape.push_back(extent.get<std::int64_t>());
    }
    columns.push_back(std::move(column));
  }
  return MetricSchema(std::move(columns));
}

MetricRow::MetricRow(const MetricSchema& schema) : schema_(&schema) {
  words_.reserve(static_cast<std::size_t>(schema.row_words()));
  for (const MetricColumn& column : schema.columns())
    words_.insert(words_.end(), static_cast<std::size_t>(column.values()), missing(column.dtype));
}

std::int64_t* MetricRow::place(const std::string& column, Dtype dtype, std::size_t count) {
  const std::size_t index = schema_->index(column);
  const MetricColumn& found = schema_->columns()[index];
  if (found.dtype != dtype || found.values() != static_cast<std::int64_t>(count))
    fail(ExitCode::io, "metrics: column '{}' holds {} values of {}, not {} of {}", column,
         found.values(), name_of(found.dtype), count, name_of(dtype));
  return words_.data() + schema_->word(index);
}

MetricRow& MetricRow::set(const std::string& column, double value) {
  return set(column, std::span<const double>(&value, 1));
}

MetricRow& MetricRow::set(const std::string& column, std::int64_t value) {
  return set(column, std::span<const std::int64_t>(&value, 1));
}

MetricRow& MetricRow::set(const std::string& column, std::span<const double> values) {
  std::transform(values.begin(), values.end(), place(column, Dtype::float64, values.size()),
                 [](double value) { return std::bit_cast<std::int64_t>(value); });
  return *this;
}

MetricRow& MetricRow::set(const std::string& column, std::span<const std::int64_t> values) {
  std::copy(values.begin(), values.end(), place(column, Dtype::int64, values.size()));
  return *this;
}

MetricTable::MetricTable(MetricSchema of)
    : schema(std::move(of)), columns(schema.columns().size()) {}

void MetricTable::append(const std::vector<std::int64_t>& row_words) {
  for (std::size_t i = 0; i < columns.size(); ++i)
    columns[i].insert(columns[i].end(), row_words.begin() + schema.word(i),
                      row_words.begin() + schema.word(i + 1));
  ++rows;
}

void MetricTable::append(const MetricTable& other) {
  if (other.rows == 0) return;
  if (columns.empty()) {
    *this = other;
    return;
  }
  std::vector<MetricColumn> all = schema.columns();
  for (const MetricColumn& column : other.schema.columns()) {
    if (!schema.contains(column.name)) {
      all.push_back(column);
      columns.emplace_back(static_cast<std::size_t>(rows * column.values()), missing(column.dtype));
    } else if (schema.columns()[schema.index(column.name)] != column) {
      fail(ExitCode::io, "metrics: column '{}' has another shape, dtype or unit in a later part",
           column.name);
    }
  }
  schema = MetricSchema(std::move(all));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const MetricColumn& column = schema.columns()[i];
    if (other.schema.contains(column.name)) {
      const auto& more = other.columns[other.schema.index(column.name)];
      columns[i].insert(columns[i].end(), more.begin(), more.end());
    } else {
      columns[i].insert(columns[i].end(), static_cast<std::size_t>(other.rows * column.values()),
                        missing(column.dtype));
    }
  }
  rows += other.rows;
}

void MetricTable::cut(std::int64_t first, std::int64_t last) {
  std::int64_t begin = 0, end = rows;
  while (begin < end && step(begin) <= first) ++begin;
  while (end > begin && step(end - 1) > last) --end;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::int64_t values = schema.columns()[i].values();
    columns[i].erase(columns[i].begin() + end * values, columns[i].end());
    columns[i].erase(columns[i].begin(), columns[i].begin() + begin * values);
  }
  rows = end - begin;
}

MetricTable MetricTable::select(const std::vector<std::string>& names) const {
  std::vector<MetricColumn> kept;
  std::vector<std::vector<std::int64_t>> values;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const MetricColumn& column = schema.columns()[i];
    if (i > 0 && std::find(names.begin(), names.end(), column.name) == names.end()) continue;
    kept.push_back(column);
    values.push_back(columns[i]);
  }
  MetricTable table{MetricSchema(std::move(kept))};
  table.rows = rows;
  table.columns = std::move(values);
  return table;
}

std::span<const std::int64_t> MetricTable::integers(const std::string& column) const {
  const std::size_t i = schema.index(column);
  if (schema.columns()[i].dtype != Dtype::int64)
    fail(ExitCode::io, "metrics: column '{}' is not int64", column);
  return columns[i];
}

std::vector<double> MetricTable::reals(const std::string& column) const {
  const std::size_t i = schema.index(column);
  if (schema.columns()[i].dtype != Dtype::float64)
    fail(ExitCode::io, "metrics: column '{}' is not float64", column);
  std::vector<double> values(columns[i].size());
  std::transform(columns[i].begin(), columns[i].end(), values.begin(),
                 [](std::int64_t bits) { return std::bit_cast<double>(bits); });
  return values;
}

}  // namespace moray
