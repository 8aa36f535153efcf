#include "io/metrics.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.hpp"
#include "core/log.hpp"
#include "io/checkpoint_format.hpp"
#include "io/json.hpp"

namespace moray {
namespace {

constexpr auto kSyncEvery = std::chrono::seconds(10);

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

/// A damaged file must not keep a run from being resumed: what it held is lost, and said so.
void set_aside(const std::string& path, const Error& error) {
  rename_path(path, path + ".bad");
  Log::global().warn("{}; it is now {}.bad, its rows are lost", error.what(), path);
}

MetricTable rows_or_set_aside(const std::string& path, const MetricSchema& schema) {
  try {
    std::int64_t end = 0;
    return metrics_files::read_rows(path, end);
  } catch (const Error& error) {
    set_aside(path, error);
    return MetricTable(schema);
  }
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

MetricsWriter::MetricsWriter(std::string run, MetricSchema schema, std::int64_t resumed)
    : run_(std::move(run)), schema_(std::move(schema)), synced_(std::chrono::steady_clock::now()) {
  using namespace metrics_files;
  if (!path_exists(folder(run_))) make_folder(folder(run_));
  std::vector<std::int64_t> numbers = segments(run_);
  cut_segments(numbers, resumed);
  // Rows since then; those that a segment has already are left from a kill in close_segment.
  MetricTable table(schema_);
  if (path_exists(rows_path(run_))) table = rows_or_set_aside(rows_path(run_), schema_);
  table.cut(last_step_, resumed);
  if (table.rows > 0) last_step_ = table.last_step();
  if (table.schema != schema_) {
    if (table.rows > 0)
      write_segment(segment_path(run_, numbers.empty() ? 1 : numbers.back() + 1), table);
    table = MetricTable(schema_);
  }
  start_rows(table);
}

void MetricsWriter::cut_segments(std::vector<std::int64_t>& numbers, std::int64_t resumed) {
  using namespace metrics_files;
  for (; !numbers.empty(); numbers.pop_back()) {
    const std::string path = segment_path(run_, numbers.back());
    MetricTable table;
    try {
      table = read_segment(path);
    } catch (const Error& error) {
      set_aside(path, error);
      continue;
    }
    const bool whole = table.last_step() <= resumed;
    if (!whole) table.cut(INT64_MIN, resumed);
    if (table.rows > 0) {
      if (!whole) write_segment(path, table);
      last_step_ = table.last_step();
      return;
    }
    ::unlink(path.c_str());
  }
}

void MetricsWriter::start_rows(const MetricTable& table) {
  std::string text = metrics_files::rows_header(schema_);
  std::vector<std::int64_t> words;
  for (std::int64_t row = 0; row < table.rows; ++row) {
    words.clear();
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const std::int64_t values = schema_.columns()[i].values();
      const auto begin = table.columns[i].begin() + row * values;
      words.insert(words.end(), begin, begin + values);
    }
    text += metrics_files::frame(words.data(), words.size() * sizeof words[0]);
  }
  const std::string path = metrics_files::rows_path(run_);
  replace_text(path, text);
  rows_ = File(path, O_WRONLY);
  end_ = static_cast<std::int64_t>(text.size());
}

void MetricsWriter::append(const MetricRow& row) {
  MORAY_REQUIRE(row.step() > last_step_);
  const std::string frame =
      metrics_files::frame(row.words().data(), row.words().size() * sizeof(std::int64_t));
  rows_.write(frame.data(), frame.size(), end_);
  end_ += static_cast<std::int64_t>(frame.size());
  last_step_ = row.step();
  if (std::chrono::steady_clock::now() - synced_ >= kSyncEvery) sync();
}

void MetricsWriter::sync() {
  rows_.sync();
  synced_ = std::chrono::steady_clock::now();
}

void MetricsWriter::close_segment() {
  using namespace metrics_files;
  std::int64_t end = 0;
  const MetricTable table = read_rows(rows_path(run_), end);
  if (end != end_)
    fail(ExitCode::io, "{}: was changed by somebody else at byte {}", rows_path(run_), end);
  if (table.rows == 0) return;
  const std::vector<std::int64_t> numbers = segments(run_);
  write_segment(segment_path(run_, numbers.empty() ? 1 : numbers.back() + 1), table);
  start_rows(MetricTable(schema_));
}

}  // namespace moray
