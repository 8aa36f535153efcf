#include <fcntl.h>
#include <unistd.h>

#include <bit>

#include "core/error.hpp"
#include "core/log.hpp"
#include "io/metrics.hpp"
#include "io/metrics_hdf5.hpp"

namespace moray {
namespace {

using namespace metrics_files;

constexpr std::int64_t kMostCsvValues = 4096;

/// Hands out the parts of a run's metrics in order, each with the rows that no earlier part has.
template <class Use>
void each_part(const std::string& run, const std::vector<std::string>& columns, Use&& use) {
  std::int64_t last = INT64_MIN;
  const auto hand_out = [&](MetricTable table) {
    table.cut(last, INT64_MAX);
    if (table.rows == 0) return;
    last = table.last_step();
    use(table);
  };
  const auto unless_damaged = [](const auto& read) {
    try {
      return read();
    } catch (const Error& error) {
      Log::global().warn("{}; its rows are left out", error.what());
      return MetricTable();
    }
  };
  for (std::int64_t number : segments(run))
    hand_out(unless_damaged([&] { return read_segment(segment_path(run, number), columns); }));
  if (!path_exists(rows_path(run))) return;
  hand_out(unless_damaged([&] {
    std::int64_t end = 0;
    const MetricTable current = read_rows(rows_path(run), end);
    return columns.empty() ? current : current.select(columns);
  }));
}

/// `loss`, or `loads[0][0]`, `loads[0][1]`, ... for the values of a row.
void add_names(const MetricColumn& column, std::size_t axis, const std::string& name,
               std::string& line) {
  if (axis == column.shape.size()) {
    line += (line.empty() ? "" : ",") + name;
    return;
  }
  for (std::int64_t i = 0; i < column.shape[axis]; ++i)
    add_names(column, axis + 1, fmt::format("{}[{}]", name, i), line);
}

/// Text in pieces, so that memory does not grow with the run.
class CsvWriter {
 public:
  CsvWriter(const std::string& path, const MetricSchema& schema)
      : file_(path, O_WRONLY | O_CREAT | O_TRUNC), schema_(schema) {
    for (const MetricColumn& column : schema.columns()) {
      if (column.values() <= kMostCsvValues) add_names(column, 0, column.name, text_);
    }
    text_ += '\n';
  }

  void add(const MetricTable& part) {
    MetricTable table(schema_);
    table.append(part);
    for (std::int64_t row = 0; row < table.rows; ++row) {
      std::string line;
      for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const MetricColumn& column = schema_.columns()[i];
        const std::int64_t values = column.values();
        for (std::int64_t k = 0; values <= kMostCsvValues && k < values; ++k) {
          if (i > 0) line += ',';
          add_value(table.columns[i][static_cast<std::size_t>(row * values + k)], column.dtype,
                    line);
        }
      }
      text_ += line + '\n';
      if (text_.size() > (std::size_t{1} << 20)) flush();
    }
  }

  void close() {
    flush();
    file_.sync();
  }

 private:
  /// The shortest decimal that reads back as the same float64; nothing where a value is missing.
  static void add_value(std::int64_t bits, Dtype dtype, std::string& line) {
    if (dtype == Dtype::int64) {
      if (bits != kMissingInteger) line += fmt::format("{}", bits);
    } else if (const auto value = std::bit_cast<double>(bits); value == value) {
      line += fmt::format("{}", value);
    }
  }
  void flush() {
    file_.write(text_.data(), text_.size(), end_);
    end_ += static_cast<std::int64_t>(text_.size());
    text_.clear();
  }

  File file_;
  MetricSchema schema_;
  std::string text_;
  std::int64_t end_ = 0;
};

}  // namespace

void visit_metrics(const std::string& run, const std::vector<std::string>& columns,
                   const std::function<void(const MetricTable&)>& use) {
  each_part(run, columns, use);
}

MetricTable read_metrics(const std::string& run, const std::vector<std::string>& columns) {
  MetricTable all;
  each_part(run, columns, [&](const MetricTable& part) { all.append(part); });
  return all;
}

void join_metrics(const std::string& run) {
  // First the union of the columns and the number of rows, then the rows, part by part.
  MetricTable header;
  std::int64_t rows = 0;
  each_part(run, {}, [&](MetricTable part) {
    rows += part.rows;
    part.cut(part.last_step() - 1, INT64_MAX);  // one row carries the schema
    header.append(part);
    header.cut(header.last_step() - 1, INT64_MAX);
  });
  if (rows == 0) return;
  const std::string suffix = fmt::format(".tmp-{}", ::getpid());
  const std::string hdf5_path = run + "/metrics.h5";
  const std::string csv_path = run + "/metrics.csv";
  try {
    ::unlink((hdf5_path + suffix).c_str());
    Hdf5Writer hdf5_file(hdf5_path + suffix, header.schema, rows);
    CsvWriter csv_file(csv_path + suffix, header.schema);
    each_part(run, {}, [&](MetricTable part) {
      part.cut(INT64_MIN, header.last_step());  // rows that came since the first pass wait
      hdf5_file.add(part);
      csv_file.add(part);
    });
    hdf5_file.close();
    csv_file.close();
    File(hdf5_path + suffix, O_RDONLY).sync();
    rename_path(hdf5_path + suffix, hdf5_path);
    rename_path(csv_path + suffix, csv_path);
  } catch (...) {
    ::unlink((hdf5_path + suffix).c_str());
    ::unlink((csv_path + suffix).c_str());
    throw;
  }
}

}  // namespace moray
