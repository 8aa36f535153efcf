#include <cmath>
#include <limits>

#include "catch.hpp"
#include "core/error.hpp"
#include "inspection/report_page.hpp"
#include "inspection/run_report.hpp"
#include "io/files.hpp"
#include "io/metrics.hpp"
#include "tests/io/sample.hpp"
#include "training/run_profile.hpp"
#include "training/step_timeline.hpp"

using namespace moray;
using namespace moray::testing;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::int64_t kLayers = 2, kExperts = 4;

MetricSchema schema() {
  return MetricSchema({{"step", "1", Dtype::int64},
                       {"tokens", "token", Dtype::int64},
                       {"loss", "nat/token"},
                       {"validation_loss", "nat/token"},
                       {"seconds", "s"},
                       {"mtp_loss", "nat/token", Dtype::float64, {2}, "module"},
                       {"max_violation", "1", Dtype::float64, {kLayers}, "layer"},
                       {"loads", "token", Dtype::int64, {kLayers, kExperts}, "layer,expert"},
                       {"bias", "1", Dtype::float64, {kLayers, kExperts}, "layer,expert"}});
}

/// Row i (from 0) has step 10 (i + 1); rows 10, 20, ... have a validation.
void write_metrics(const std::string& run, std::int64_t rows, std::int64_t segment = 0) {
  MetricsWriter writer(run, schema(), 0);
  for (std::int64_t i = 0; i < rows; ++i) {
    MetricRow row = writer.row();
    const double x = static_cast<double>(i);
    row.set("step", 10 * (i + 1)).set("tokens", 1000 * (i + 1)).set("seconds", 0.5);
    row.set("loss", 5 - x / static_cast<double>(rows));
    if (i % 10 == 9) row.set("validation_loss", 6 - x);
    row.set("mtp_loss", std::span<const double>(std::vector<double>{x, 2 * x}));
    row.set("max_violation", std::span<const double>(std::vector<double>{1, 3}));
    row.set("loads",
            std::span<const std::int64_t>(std::vector<std::int64_t>{10, 0, 20, 10, 40, 0, 0, 0}));
    row.set("bias", std::span<const double>(std::vector<double>{x, 0, 0, 0, 0, 0, 0, -x}));
    writer.append(row);
    if (segment > 0 && i % segment == segment - 1) writer.close_segment();
  }
}

bool noted(const Json& report, const std::string& words) {
  for (const Json& note : report["notes"])
    if (note.get<std::string>().find(words) != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE("a short run is in the report row by row", "[report]") {
  TemporaryFolder run;
  write_metrics(run.path(), 20, 7);
  replace_text(run / "STATUS", "running\n");
  const Json report = report_of_run(run.path());
  CHECK(report["status"] == "running");
  CHECK(report["rows"] == 20);
  const Json& rows = report["grids"]["rows"];
  REQUIRE(rows["step"].size() == 20);
  CHECK(rows["step"][19] == 200);
  CHECK(rows["tokens"][0] == 1000);
  CHECK(rows["seconds"][1] == 10);  // 20 steps of 0.5 s
  CHECK_FALSE(rows.contains("first"));
  const Json& loss = report["series"]["loss"];
  CHECK(loss["mean"][10] == 4.5);
  CHECK(loss["unit"] == "nat/token");
  CHECK_FALSE(loss.contains("low"));
  CHECK(report["series"]["mtp_loss[1]"]["mean"][3] == 6);
  // The layers of MaxVio are one line with their range.
  CHECK(report["series"]["max_violation"]["mean"][0] == 2);
  CHECK(report["series"]["max_violation"]["low"][0] == 1);
  CHECK(report["series"]["max_violation"]["high"][0] == 3);
}

TEST_CASE("a sparse column has its own places", "[report]") {
  TemporaryFolder run;
  write_metrics(run.path(), 30);
  const Json report = report_of_run(run.path());
  const Json& validation = report["series"]["validation_loss"];
  CHECK(validation["grid"] == "validation_loss");
  CHECK(validation["mean"] == Json({-3, -13, -23}));
  CHECK(report["grids"]["validation_loss"]["step"] == Json({100, 200, 300}));
}

TEST_CASE("loads are relative to their layer's mean, biases those of the last row", "[report]") {
  TemporaryFolder run;
  write_metrics(run.path(), 6, 4);
  ReportLimits limits;
  limits.columns = 2;
  const Json report = report_of_run(run.path(), limits);
  CHECK(report["grids"]["maps"]["step"] == Json({30, 60}));
  CHECK(report["grids"]["maps"]["first"] == Json({10, 40}));
  const Json& loads = report["maps"]["loads"];
  CHECK(loads["layers"] == kLayers);
  CHECK(loads["experts"] == kExperts);
  CHECK(loads["low"] == 0);
  CHECK(loads["high"] == 4);
  CHECK(loads["mean_load"] == Json({10, 10, 10, 10}));
  // Levels of 65534 / 4: 1 0 2 1 | 4 0 0 0, that is 4000 0 7fff 4000 | fffe 0 0 0, in both buckets.
  CHECK(loads["values"] == "AEAAAP9/AED+/wAAAAAAAABAAAD/fwBA/v8AAAAAAAA=");
  const Json& bias = report["maps"]["bias"];
  CHECK(bias["high"] == 5);
  CHECK(bias["low"] == -5);
}

TEST_CASE("a run of 100,000 rows makes a page of a few MB, and no spike is lost", "[report]") {
  TemporaryFolder run;
  {
    const MetricSchema columns({{"step", "1", Dtype::int64},
                                {"loss", "nat/token"},
                                {"gradient_norm", "1"},
                                {"loads", "token", Dtype::int64, {2, 8}, "layer,expert"}});
    MetricsWriter writer(run.path(), columns, 0);
    std::vector<std::int64_t> loads(2 * 8, 3);
    for (std::int64_t i = 0; i < 100000; ++i) {
      MetricRow row = writer.row();
      row.set("step", i + 1).set("loss", 1 + std::sin(static_cast<double>(i)));
      row.set("gradient_norm", i == 77777 ? 1e6 : 1 / static_cast<double>(i + 3));
      if (i % 50 == 0) row.set("loads", std::span<const std::int64_t>(loads));
      writer.append(row);
    }
  }
  const Json report = report_of_run(run.path());
  CHECK(report["rows"] == 100000);
  const Json& norm = report["series"]["gradient_norm"];
  REQUIRE(norm["mean"].size() == 2000);
  CHECK(norm["high"][77777 / 50] == 1e6);
  CHECK(norm["high"][77777 / 50 + 1] < 1);
  CHECK(report["grids"]["rows"]["first"][1] == 51);
  CHECK(report["grids"]["rows"]["step"][1] == 100);
  CHECK(report_page(Json::array({report})).size() < 3'000'000);
}

TEST_CASE("what is not there is said, and the rest is shown", "[report]") {
  TemporaryFolder run;
  CHECK_THROWS_AS(report_of_run(run.path()), Error);
  make_folder(run / "checkpoints");
  const Json empty = report_of_run(run.path());
  CHECK(empty["rows"] == 0);
  CHECK(empty["series"].empty());
  CHECK(noted(empty, "STATUS"));
  CHECK(noted(empty, "resolved.yaml"));
  CHECK(noted(empty, "profile.json"));
  CHECK_NOTHROW(report_page(Json::array({empty})));

  write_metrics(run.path(), 3);
  replace_text(run / "profile.json", "{\"format\": \"other\"}");
  replace_text(run / "resolved.yaml", "model: {vocabulary: 0}\n");
  const Json some = report_of_run(run.path());
  CHECK(some["rows"] == 3);
  CHECK_FALSE(some["series"].contains("validation_loss"));
  CHECK(noted(some, "profile.json: "));
  CHECK(noted(some, "vocabulary"));
}

TEST_CASE("the newest timeline of a run is in its report", "[report]") {
  TemporaryFolder run;
  make_folder(run / "checkpoints");
  CHECK_FALSE(report_of_run(run.path()).contains("timeline"));  // no step was recorded
  make_folder(run / "traces");
  const PipelineSchedule schedule = make_schedule({ScheduleKind::one_f_one_b, 2, 1});
  StepTimeline timeline;
  timeline.schedule = schedule;
  RankTimes first, last;
  first.ops = {{1, 1, 3, 0}, {3, 8, 10, 0}};
  last.ops = {{2, 3.5, 5, 0.25}, {5, 5, 7, 0}};
  timeline.times.assign(12, {first, last});  // more pipelines than a page shows
  timeline.ranks.assign(12, {{}, {}});
  timeline.ranks[3][1].rank = 7;
  timeline.length = 10;
  timeline.shares = time_shares(schedule, timeline.times, 10);
  timeline.planned = timeline_of(schedule, timeline.times[0]);
  timeline.phases[1][0] = {0.5, 0.25};
  for (const std::int64_t step : {2, 40}) {
    timeline.step = step;
    write_timeline(run.path(), timeline);
  }
  const Json report = report_of_run(run.path());
  const Json& shown = report["timeline"];
  CHECK(shown["step"] == 40);
  CHECK(shown["schedule"] == "1f1b");
  CHECK(shown["shares"]["computing"] == (4 + 3.5 - 0.25) / 20);
  CHECK(shown["ops"].dump() == R"([["F0:0","BW0:0"],["F0:0","BW0:0"]])");
  CHECK(shown["planned"][1]["end_us"] == Json({5e6, 7e6}));
  REQUIRE(shown["pipelines"].size() == 8);
  CHECK(shown["pipelines"][3][1]["rank"] == 7);
  CHECK(shown["pipelines"][7][1]["asked_us"] == Json({2e6, 5e6}));
  CHECK(shown["pipelines"][7][1]["tokens_us"] == Json({0.25e6, 0}));
  REQUIRE(shown["phases"].size() == 1);
  CHECK(shown["phases"][0]["phase"] == "dispatch");
  CHECK(shown["phases"][0]["us"] == 0.5e6);
  CHECK(shown["phases"][0]["waited_us"] == 0.25e6);

  // A file that is none is said, and the rest is shown.
  const std::string path = newest_timeline(run.path());
  const std::string good = read_text(path, 1 << 20);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    replace_text(path, text.replace(at, from.size(), to));
    return report_of_run(run.path());
  };
  CHECK(changed("\"version\":1", "\"version\":1 ").contains("timeline"));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"moray-timeline", "another"},
           {"\"version\":1", "\"version\":2"},
           {"[5000000.0,7000000.0]", "[5000000.0]"},
           {"[5000000.0,7000000.0]", "[5000000.0,\"late\"]"},
           {"\"F0:0\"", "7"},
           {"\"length_us\"", "\"length\""},
           {"\"phase\":\"dispatch\"", "\"phase\":3"},
           {"{\"rank\":0", "{\"place\":0"},
           {"{", "["}}) {
    CAPTURE(from, to);
    const Json report_of_bad = changed(from, to);
    CHECK_FALSE(report_of_bad.contains("timeline"));
    CHECK(noted(report_of_bad, path));
  }
}

TEST_CASE("the profile of a run reads back", "[report]") {
  TemporaryFolder run;
  RunProfile profile;
  profile.ranks = 4;
  profile.threads = 2;
  profile.first_step = 10;
  profile.last_step = 20;
  profile.seconds = 12.25;
  profile.parts = {{"step", 10, 8.5, 8.25}, {"step/forward", 10, 3, 2}, {"samples", 0, 0, 0}};
  profile.kernels = {{"moray::gemm::portable", 7, 1.5}};
  profile.sent = {{"tokens", 1.5, 2, 3.5, 4}};
  profile.copies = {64, 0.75, 0.5};
  profile.started = 1000;
  profile.peak = 5000;
  profile.arena = {1, 2, 3, 4, 5, 6};
  write_run_profile(run.path(), profile);
  const RunProfile read = read_run_profile(run.path());
  CHECK(read.ranks == 4);
  CHECK(read.last_step == 20);
  CHECK(read.arena == profile.arena);
  REQUIRE(read.parts.size() == 3);
  CHECK(read.parts[1].name == "step/forward");
  CHECK(read.parts[1].mean == 2);

  REQUIRE(read.sent.size() == 1);
  CHECK(read.sent[0].name == "tokens");
  CHECK(read.sent[0].inside_mean == 1.5);
  CHECK(read.sent[0].inside_most == 2);
  CHECK(read.sent[0].across_mean == 3.5);
  CHECK(read.sent[0].across_most == 4);
  CHECK(read.copies.tokens == 64);
  CHECK(read.copies.across == 0.75);
  CHECK(read.copies.inside == 0.5);

  REQUIRE(read.kernels.size() == 1);
  CHECK(read.kernels[0].name == "moray::gemm::portable");
  CHECK(read.kernels[0].calls == 7);

  make_folder(run / "checkpoints");
  const Json report = report_of_run(run.path());
  CHECK(report["profile"]["kernels"][0]["seconds"] == 1.5);
  CHECK(report["profile"]["copies"]["across"] == 0.75);
  CHECK(report["memory"]["started"] == 1000);
  CHECK(report["memory"]["peak"] == 5000);
  CHECK(report["profile"]["parts"].size() == 2);  // those that ran
  CHECK(peak_resident_bytes() > 1 << 20);
}
