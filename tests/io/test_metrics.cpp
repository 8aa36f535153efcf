#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <random>

#include "catch.hpp"
#include "core/no_space.hpp"
#include "io/metrics.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

MetricSchema sample_schema() {
  return MetricSchema({{"step", "1", Dtype::int64},
                       {"tokens", "1", Dtype::int64},
                       {"loss", "nat/token"},
                       {"validation_loss", "nat/token"},
                       {"loads", "1", Dtype::int64, {2, 3}, "layer,expert"},
                       {"bias", "1", Dtype::float64, {2, 3}, "layer,expert"}});
}

MetricRow sample_row(const MetricsWriter& writer, std::int64_t step) {
  MetricRow row = writer.row();
  std::vector<std::int64_t> loads(6);
  std::vector<double> bias(6);
  for (int i = 0; i < 6; ++i) {
    loads[static_cast<std::size_t>(i)] = 10 * step + i;
    bias[static_cast<std::size_t>(i)] = 0.1 * static_cast<double>(step) + i;
  }
  row.set("step", step).set("tokens", step * 100).set("loss", 1.0 / static_cast<double>(step));
  row.set("loads", loads).set("bias", bias);
  if (step % 4 == 0) row.set("validation_loss", 2.5);
  return row;
}

void write_steps(const std::string& run, std::int64_t resumed, std::int64_t last,
                 std::int64_t checkpoint_every) {
  MetricsWriter writer(run, sample_schema(), resumed);
  for (std::int64_t step = resumed + 1; step <= last; ++step) {
    writer.append(sample_row(writer, step));
    if (step % checkpoint_every == 0) writer.close_segment();
  }
}

/// Rows 1 to `last`, each once and as written.
void check_rows(const std::string& run, std::int64_t last) {
  const MetricTable table = read_metrics(run);
  REQUIRE(table.rows == last);
  MetricTable expected(sample_schema());
  TemporaryFolder other;
  MetricsWriter writer(other.path(), sample_schema(), 0);
  for (std::int64_t step = 1; step <= last; ++step)
    expected.append(sample_row(writer, step).words());
  CHECK(table == expected);
}

}  // namespace

TEST_CASE("rows come back through segments and the open file", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 11, 4);
  CHECK(metrics_files::segments(run.path()) == std::vector<std::int64_t>{1, 2});
  check_rows(run.path(), 11);
  const MetricTable some = read_metrics(run.path(), {"loss"});
  CHECK(some.schema.columns().size() == 2);
  CHECK(some.reals("loss")[10] == 1.0 / 11);
  CHECK(std::isnan(read_metrics(run.path()).reals("validation_loss")[0]));
  CHECK_THROWS_AS(some.reals("step"), Error);
  CHECK_THROWS_AS(some.integers("nothing"), Error);
}

TEST_CASE("a resumed run has no row twice, wherever it resumes", "[metrics]") {
  for (std::int64_t resumed : {0, 3, 4, 6, 8, 9, 11}) {
    TemporaryFolder run;
    write_steps(run.path(), 0, 11, 4);
    write_steps(run.path(), resumed, 14, 4);
    check_rows(run.path(), 14);
  }
}

TEST_CASE("a kill between a segment and the emptied rows leaves no row twice", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 3, 100);
  const std::string rows = read_text(metrics_files::rows_path(run.path()), 1 << 20);
  MetricsWriter(run.path(), sample_schema(), 3).close_segment();
  std::ofstream(metrics_files::rows_path(run.path()), std::ios::binary) << rows;
  check_rows(run.path(), 3);
  write_steps(run.path(), 3, 5, 100);
  check_rows(run.path(), 5);
}

TEST_CASE("a killed process loses no row that was appended", "[metrics]") {
  TemporaryFolder run;
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    MetricsWriter writer(run.path(), sample_schema(), 0);
    for (std::int64_t step = 1; step <= 7; ++step) writer.append(sample_row(writer, step));
    const char ready = 'r';
    if (::write(pipe_ends[1], &ready, 1) == 1) ::raise(SIGKILL);
    ::_exit(1);
  }
  char ready = 0;
  REQUIRE(::read(pipe_ends[0], &ready, 1) == 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  check_rows(run.path(), 7);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

static void kill_at_random(int times) {
  std::mt19937 random(4);
  for (int i = 0; i < times; ++i) {
    TemporaryFolder run;
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe_ends[0]);
      MetricsWriter writer(run.path(), sample_schema(), 0);
      for (std::int64_t step = 1;; ++step) {
        writer.append(sample_row(writer, step));
        if (::write(pipe_ends[1], &step, sizeof step) != sizeof step) ::_exit(1);
        if (step % 3 == 0) writer.close_segment();
      }
    }
    ::close(pipe_ends[1]);
    // Killed while or after this many rows: in an append, in a segment, or between.
    std::int64_t appended = 0;
    for (unsigned rows = 1 + random() % 7; rows > 0; --rows)
      REQUIRE(::read(pipe_ends[0], &appended, sizeof appended) == sizeof appended);
    ::usleep(random() % 3000);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (std::int64_t more = 0; ::read(pipe_ends[0], &more, sizeof more) == sizeof more;)
      appended = more;
    ::close(pipe_ends[0]);
    const std::int64_t rows = read_metrics(run.path()).rows;
    CHECK(rows >= appended);
    CHECK(rows <= appended + 1);
    check_rows(run.path(), rows);
    write_steps(run.path(), rows, rows + 4, 3);
    check_rows(run.path(), rows + 4);
    join_metrics(run.path());
  }
}

TEST_CASE("killed at 20 random moments, no row is lost or there twice", "[metrics][kill]") {
  kill_at_random(20);
}
TEST_CASE("killed at 100 random moments, no row is lost or there twice", "[metrics][kill][long]") {
  kill_at_random(100);
}

TEST_CASE("a torn or changed end of the rows is cut off", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 5, 100);
  const std::string path = metrics_files::rows_path(run.path());
  const std::string whole = read_text(path, 1 << 20);
  std::int64_t end = 0;
  std::mt19937 random(7);
  const std::string head = metrics_files::rows_header(sample_schema());
  const std::size_t row = (whole.size() - head.size()) / 5;
  for (int i = 0; i < 200; ++i) {
    std::string text = whole;
    const std::size_t at = head.size() + random() % (whole.size() - head.size());
    if (i % 2 == 0) {
      text.resize(at);
    } else {
      text[at] = static_cast<char>(text[at] ^ (1 << random() % 8));
    }
    std::ofstream(path, std::ios::binary) << text;
    const MetricTable table = metrics_files::read_rows(path, end);
    CHECK(table.rows == static_cast<std::int64_t>((at - head.size()) / row));
  }
  std::ofstream(path, std::ios::binary) << whole.substr(0, whole.size() - 3);
  check_rows(run.path(), 4);
  write_steps(run.path(), 4, 6, 100);
  check_rows(run.path(), 6);
}

TEST_CASE("a changed segment is named and left out", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 8, 4);
  const std::string path = metrics_files::segment_path(run.path(), 1);
  std::string bytes = read_text(path, 1 << 20);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  std::ofstream(path, std::ios::binary) << bytes;
  CHECK_THROWS_AS(metrics_files::read_segment(path), Error);
  const MetricTable table = read_metrics(run.path());
  CHECK(table.rows == 4);
  CHECK(table.step(0) == 5);
}

TEST_CASE("damaged files of metrics do not keep a run from being resumed", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 9, 4);
  for (const std::string& path :
       {metrics_files::rows_path(run.path()), metrics_files::segment_path(run.path(), 2)}) {
    std::string bytes = read_text(path, 1 << 20);
    bytes[3] = static_cast<char>(bytes[3] ^ 1);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  check_rows(run.path(), 4);
  write_steps(run.path(), 9, 11, 100);
  CHECK(path_exists(metrics_files::rows_path(run.path()) + ".bad"));
  CHECK(path_exists(metrics_files::segment_path(run.path(), 2) + ".bad"));
  const MetricTable table = read_metrics(run.path());
  CHECK(table.rows == 6);
  CHECK(table.step(4) == 10);
}

TEST_CASE("columns may be added when a run is resumed", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 3, 100);
  std::vector<MetricColumn> columns = sample_schema().columns();
  columns.push_back({"gradient_norm", "1"});
  {
    MetricsWriter writer(run.path(), MetricSchema(columns), 3);
    MetricRow row = writer.row();
    writer.append(row.set("step", std::int64_t{4}).set("gradient_norm", 0.5));
  }
  const MetricTable table = read_metrics(run.path());
  CHECK(table.rows == 4);
  CHECK(std::isnan(table.reals("gradient_norm")[2]));
  CHECK(table.reals("gradient_norm")[3] == 0.5);
  CHECK(table.integers("tokens")[3] == kMissingInteger);
  join_metrics(run.path());
  columns.back().unit = "other";
  MetricsWriter writer(run.path(), MetricSchema(columns), 4);
  MetricRow row = writer.row();
  writer.append(row.set("step", std::int64_t{5}));
  CHECK_THROWS_AS(read_metrics(run.path()), Error);
}

TEST_CASE("metrics.csv has a column for each value", "[metrics]") {
  TemporaryFolder run;
  write_steps(run.path(), 0, 4, 3);
  join_metrics(run.path());
  std::ifstream file(run / "metrics.csv");
  std::string header, line;
  std::getline(file, header);
  CHECK(
      header ==
      "step,tokens,loss,validation_loss,loads[0][0],loads[0][1],loads[0][2],loads[1][0],"
      "loads[1][1],loads[1][2],bias[0][0],bias[0][1],bias[0][2],bias[1][0],bias[1][1],bias[1][2]");
  for (int i = 0; i < 3; ++i) std::getline(file, line);
  CHECK(line ==
        "3,300,0.3333333333333333,,30,31,32,33,34,35,0.30000000000000004,1.3,2.3,3.3,4.3,5.3");
  std::getline(file, line);
  CHECK(line.substr(0, 15) == "4,400,0.25,2.5,");
  CHECK_FALSE(std::getline(file, line));
}

TEST_CASE("schemas and rows that cannot be are refused", "[metrics]") {
  const auto schema = [](std::vector<MetricColumn> columns) {
    return MetricSchema(std::move(columns));
  };
  CHECK_THROWS_AS(schema({{"loss", "1"}}), Error);
  CHECK_THROWS_AS(schema({{"step", "1"}}), Error);
  CHECK_THROWS_AS(schema({{"step", "1", Dtype::int64}, {"a", "1"}, {"a", "1"}}), Error);
  CHECK_THROWS_AS(schema({{"step", "1", Dtype::int64}, {"a b", "1"}}), Error);
  CHECK_THROWS_AS(schema({{"step", "1", Dtype::int64}, {"a", "1", Dtype::uint8}}), Error);
  TemporaryFolder run;
  MetricsWriter writer(run.path(), sample_schema(), 0);
  MetricRow row = writer.row();
  CHECK_THROWS_AS(row.set("loss", std::int64_t{1}), Error);
  CHECK_THROWS_AS(row.set("loads", std::int64_t{1}), Error);
  writer.append(row.set("step", std::int64_t{2}));
  CHECK_THROWS_AS(writer.append(row), std::logic_error);
}

namespace {

std::atomic<bool> disk_is_full, sync_is_full;

/// A disk that takes half of what it is given, or says only at the fsync that it is full.
void install_full_disk() {
  file_calls().pwrite = [](int descriptor, const void* data, std::size_t size, off_t at) {
    if (!disk_is_full) return ::pwrite(descriptor, data, size, at);
    if (size > 100) return ::pwrite(descriptor, data, size / 2, at);
    errno = ENOSPC;
    return ssize_t{-1};
  };
  file_calls().fsync = [](int descriptor) {
    if (!disk_is_full && !sync_is_full) return ::fsync(descriptor);
    errno = ENOSPC;
    return -1;
  };
}

}  // namespace

TEST_CASE("a full disk keeps rows waiting and loses none", "[metrics]") {
  TemporaryFolder run;
  MetricsWriter writer(run.path(), sample_schema(), 0);
  writer.append(sample_row(writer, 1));
  const FileCalls saved = file_calls();
  install_full_disk();
  disk_is_full = true;
  for (std::int64_t step : {2, 3}) CHECK_NOTHROW(writer.append(sample_row(writer, step)));
  CHECK_THROWS_AS(writer.sync(), NoSpace);
  CHECK_THROWS_AS(writer.close_segment(), NoSpace);
  CHECK(read_metrics(run.path()).rows < 3);
  disk_is_full = false;
  writer.append(sample_row(writer, 4));
  check_rows(run.path(), 4);
  // Full from the segment on: its rows stay, and go with the next one, once.
  writer.sync();
  disk_is_full = true;
  CHECK_THROWS_AS(writer.close_segment(), NoSpace);
  disk_is_full = false;
  check_rows(run.path(), 4);
  sync_is_full = true;
  CHECK_THROWS_AS(writer.close_segment(), NoSpace);
  sync_is_full = false;
  writer.append(sample_row(writer, 5));
  writer.close_segment();
  check_rows(run.path(), 5);
  file_calls() = saved;
  CHECK(metrics_files::segments(run.path()).size() == 1);
}

TEST_CASE("a segment that was written before the disk was full is not written again", "[metrics]") {
  TemporaryFolder run;
  MetricsWriter writer(run.path(), sample_schema(), 0);
  for (std::int64_t step : {1, 2}) writer.append(sample_row(writer, step));
  writer.sync();
  const FileCalls saved = file_calls();
  // Each of its fsyncs fails once, also those behind the rename of the segment.
  static int syncs = 0;
  bool failed = true;
  int failures = 0;
  for (int last = 1; failed; ++last) {
    syncs = -last;
    file_calls().fsync = [](int descriptor) {
      if (++syncs < 0) return ::fsync(descriptor);
      errno = ENOSPC;
      return -1;
    };
    try {
      writer.close_segment();
      failed = false;
    } catch (const NoSpace&) {
      ++failures;
    }
    file_calls() = saved;
    check_rows(run.path(), 2);
  }
  CHECK(failures > 4);
  writer.append(sample_row(writer, 3));
  writer.close_segment();
  check_rows(run.path(), 3);
}
