#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "io/dtype.hpp"
#include "io/files.hpp"

/// The metrics of a run: one row a logged step, in `<run>/metrics/`.
///
/// Rows go to `current.rows`, each with its length and digest, and reach the operating system
/// before append returns: a killed process loses none, a power cut those of the last 10 s. A
/// checkpoint closes a segment `0001.h5` with the rows since the last one, so that a save costs the
/// same at any step. `metrics.h5` and `metrics.csv` of the run join them. docs/checkpoint-format.md
/// describes the files.
namespace moray {

/// A column: one value of this shape a row.
struct MetricColumn {
  std::string name;
  std::string unit;                      ///< "nat/token"; "1" for a pure number
  Dtype dtype = Dtype::float64;          ///< float64 or int64
  std::vector<std::int64_t> shape = {};  ///< empty: a scalar; (layers, experts) for loads
  std::string axes = {};                 ///< names of the extents of shape: "layer,expert"

  bool operator==(const MetricColumn&) const = default;
  std::int64_t values() const;  ///< elements of one row
};

/// The columns of a row. The first one is always `step`, int64, which grows from row to row.
class MetricSchema {
 public:
  MetricSchema() = default;
  /// Throws Error(io) unless names are unique words, dtypes allowed and `step` comes first.
  explicit MetricSchema(std::vector<MetricColumn> columns);

  const std::vector<MetricColumn>& columns() const { return columns_; }
  /// First 8-byte word of a column in a row, and the words of a whole row.
  std::int64_t word(std::size_t column) const { return words_[column]; }
  std::int64_t row_words() const { return words_.back(); }
  /// Index of a column; Error(io) naming it if it is not there.
  std::size_t index(const std::string& name) const;
  bool contains(const std::string& name) const;

  std::string to_json() const;
  static MetricSchema from_json(const std::string& text, const std::string& place);

  bool operator==(const MetricSchema&) const = default;

 private:
  std::vector<MetricColumn> columns_;
  std::vector<std::int64_t> words_ = {0};
};

/// Values that a row does not set, and columns that an older part of a run had not yet.
inline constexpr std::int64_t kMissingInteger = INT64_MIN;  // float64: NaN

/// One row to fill in.
class MetricRow {
 public:
  explicit MetricRow(const MetricSchema& schema);
  MetricRow& set(const std::string& column, double value);
  MetricRow& set(const std::string& column, std::int64_t value);
  MetricRow& set(const std::string& column, std::span<const double> values);
  MetricRow& set(const std::string& column, std::span<const std::int64_t> values);

  std::int64_t step() const { return words_[0]; }
  const std::vector<std::int64_t>& words() const { return words_; }  ///< bits of all values

 private:
  std::int64_t* place(const std::string& column, Dtype dtype, std::size_t count);
  const MetricSchema* schema_;
  std::vector<std::int64_t> words_;
};

/// Rows by column.
struct MetricTable {
  MetricSchema schema;
  std::int64_t rows = 0;
  std::vector<std::vector<std::int64_t>> columns;  ///< bits; (rows, shape...) each

  explicit MetricTable(MetricSchema of = {});
  void append(const std::vector<std::int64_t>& row_words);
  /// Adds the rows of another table; columns that either side lacks are filled as missing.
  void append(const MetricTable& other);
  /// Keeps the rows with first < step <= last.
  void cut(std::int64_t first, std::int64_t last);
  /// `step` and the columns named, as far as they are there.
  MetricTable select(const std::vector<std::string>& names) const;
  std::int64_t step(std::int64_t row) const { return columns[0][static_cast<std::size_t>(row)]; }
  std::int64_t last_step() const { return rows == 0 ? INT64_MIN : step(rows - 1); }
  std::span<const std::int64_t> integers(const std::string& column) const;
  std::vector<double> reals(const std::string& column) const;

  bool operator==(const MetricTable&) const = default;
};

/// Rank 0 writes. All functions throw Error(io).
///
/// A row is with the operating system when `append` returns, so a killed process loses none, and on
/// the disk at most 10 s later while rows come. On a full disk `append` keeps rows in memory, with a
/// warning, and writes them when there is room.
class MetricsWriter {
 public:
  /// `run` is the run's folder. Rows of an earlier part of the run with a step after `resumed` are
  /// dropped, so that no step has two rows; a new run passes 0.
  MetricsWriter(std::string run, MetricSchema schema, std::int64_t resumed);

  const MetricSchema& schema() const { return schema_; }
  MetricRow row() const { return MetricRow(schema_); }
  /// Writes a row; its step must be after that of the row before.
  void append(const MetricRow& row);
  /// Fsyncs what was appended. Throws NoSpace on a full disk, and keeps the rows.
  void sync();
  /// Moves the rows since the last segment, up to that of step `last`, to a new one. At each
  /// checkpoint, with its step, and at the end. Throws NoSpace on a full disk; the rows then stay
  /// where they are and go with the next segment.
  void close_segment(std::int64_t last = INT64_MAX);

 private:
  /// Drops rows after `resumed` from the segments, the last ones first.
  void cut_segments(std::vector<std::int64_t>& numbers, std::int64_t resumed);
  void start_rows(const MetricTable& table);
  void write_waiting();

  std::string run_;
  MetricSchema schema_;
  File rows_;
  std::int64_t end_ = 0;     // bytes of the file that are on the disk: whole frames
  std::string waiting_;      // frames behind them
  std::size_t written_ = 0;  // bytes of those that the operating system has
  std::int64_t last_step_ = INT64_MIN;
  std::int64_t segment_step_ = INT64_MIN;  // last step in a segment
  std::chrono::steady_clock::time_point synced_;
  std::chrono::steady_clock::time_point appended_;
};

/// All rows of a run, also of one that is being written. Damaged parts are named in a warning and
/// left out; only the columns named are read (all of them if none is).
MetricTable read_metrics(const std::string& run, const std::vector<std::string>& columns = {});

/// The same part by part, in order, for runs of any length: no part holds rows of an earlier one.
void visit_metrics(const std::string& run, const std::vector<std::string>& columns,
                   const std::function<void(const MetricTable&)>& use);

/// Writes `metrics.h5` and `metrics.csv` into the run's folder from all its rows. The CSV file has
/// a column for each value (`loads[3][7]`); columns of more than 4096 values a row are in
/// `metrics.h5` only.
void join_metrics(const std::string& run);

namespace metrics_files {

std::string folder(const std::string& run);
std::string rows_path(const std::string& run);
std::string segment_path(const std::string& run, std::int64_t number);
/// Numbers of the segments, ascending.
std::vector<std::int64_t> segments(const std::string& run);

/// A file of framed rows; a torn or damaged end is cut off. Returns the table and, in `end`, the
/// bytes of whole frames.
MetricTable read_rows(const std::string& path, std::int64_t& end);
std::string frame(const void* data, std::size_t size);
std::string rows_header(const MetricSchema& schema);

/// Writes NNNN.h5 and its digest NNNN.xxh3 (the format of `xxhsum -H2 -c`), reads it back and
/// compares before it gets its name.
void write_segment(const std::string& path, const MetricTable& table);
/// Checks the digest before HDF5 sees a byte.
MetricTable read_segment(const std::string& path, const std::vector<std::string>& columns = {});

}  // namespace metrics_files
}  // namespace moray
