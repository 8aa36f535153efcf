#include <fcntl.h>
#include <unistd.h>

#include "core/log.hpp"
#include "core/no_space.hpp"
#include "io/metrics.hpp"

namespace moray {
namespace {

constexpr auto kSyncEvery = std::chrono::seconds(10);
// A row that comes so long after the one before is fsynced at once: the next may be long in coming.
constexpr auto kSlow = std::chrono::seconds(1);
// Rows that a full disk keeps in memory; a day of rows a second of the largest models.
constexpr std::size_t kMostWaiting = std::size_t{256} << 20;

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

MetricsWriter::MetricsWriter(std::string run, MetricSchema schema, std::int64_t resumed)
    : run_(std::move(run)),
      schema_(std::move(schema)),
      synced_(std::chrono::steady_clock::now()),
      appended_(synced_) {
  using namespace metrics_files;
  if (!path_exists(folder(run_))) make_folder(folder(run_));
  std::vector<std::int64_t> numbers = segments(run_);
  cut_segments(numbers, resumed);
  // Rows since then; those that a segment has already are left from a kill in close_segment.
  MetricTable table(schema_);
  if (path_exists(rows_path(run_))) table = rows_or_set_aside(rows_path(run_), schema_);
  segment_step_ = last_step_;
  table.cut(segment_step_, resumed);
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
  waiting_ += metrics_files::frame(row.words().data(), row.words().size() * sizeof(std::int64_t));
  last_step_ = row.step();
  const auto now = std::chrono::steady_clock::now();
  const bool due = now - synced_ >= kSyncEvery || now - appended_ >= kSlow;
  appended_ = now;
  try {
    write_waiting();
    if (due) sync();
  } catch (const NoSpace& error) {
    if (waiting_.size() > kMostWaiting) throw;
    Log::global().warn("{}: rows of metrics are kept in memory until there is room", error.what());
  }
}

void MetricsWriter::write_waiting() {
  rows_.write(waiting_.data() + written_, waiting_.size() - written_,
              end_ + static_cast<std::int64_t>(written_));
  written_ = waiting_.size();
}

/// Rows leave the memory when they are on the disk: a file system may say only here that it is full.
void MetricsWriter::sync() {
  write_waiting();
  try {
    rows_.sync();
  } catch (const NoSpace&) {
    written_ = 0;
    throw;
  }
  end_ += static_cast<std::int64_t>(written_);
  waiting_.clear();
  written_ = 0;
  synced_ = std::chrono::steady_clock::now();
}

void MetricsWriter::close_segment(std::int64_t last) {
  using namespace metrics_files;
  sync();
  std::int64_t end = 0;
  MetricTable table = read_rows(rows_path(run_), end);
  if (end != end_)
    fail(ExitCode::io, "{}: was changed by somebody else at byte {}", rows_path(run_), end);
  MetricTable rest = table;
  table.cut(segment_step_, last);  // those before are left there from a full disk
  if (table.rows == 0) return;
  const std::vector<std::int64_t> numbers = segments(run_);
  tell_full_disk(run_, [&] {
    write_segment(segment_path(run_, numbers.empty() ? 1 : numbers.back() + 1), table);
  });
  segment_step_ = table.last_step();
  rest.cut(segment_step_, INT64_MAX);
  start_rows(rest);
}

}  // namespace moray
