#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "pipeline/picture.hpp"
#include "pipeline/trace.hpp"

using namespace moray;

namespace {

PipelineTimeline planned(ScheduleKind kind) {
  return simulate(make_schedule({kind, 4, 8}), {{{1, 1, 1, 2.75}}, 0.125});
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

std::size_t ops_of(const PipelineTimeline& timeline) {
  std::size_t ops = 0;
  for (const auto& events : timeline.ranks) ops += events.size();
  return ops;
}

}  // namespace

TEST_CASE("a trace has a slice for each op and an arrow for each message", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    CAPTURE(schedule_name(kind));
    const PipelineTimeline timeline = planned(kind);
    const auto trace =
        nlohmann::json::parse(perfetto_trace({{"planned", &timeline}, {"again", &timeline}}, 1000));
    std::size_t slices = 0;
    std::map<int, std::vector<nlohmann::json>> arrows;
    for (const auto& e : trace.at("traceEvents")) {
      if (e.at("ph") == "X") {
        ++slices;
      } else if (e.at("ph") != "M") {
        arrows[e.at("id")].push_back(e);
      }
    }
    CHECK(slices == 2 * ops_of(timeline));
    // Each of 8 micro-batches crosses the borders between ranks forth and back.
    const std::size_t borders = kind == ScheduleKind::dualpipev ? 6 : 3;
    CHECK(arrows.size() == 2 * 2 * 8 * borders);
    for (const auto& [id, ends] : arrows) {
      REQUIRE(ends.size() == 2);
      CHECK(ends[0].at("ph") == "s");
      CHECK(ends[1].at("ph") == "f");
      CHECK(ends[0].at("pid") == ends[1].at("pid"));
      CHECK(ends[0].at("tid") != ends[1].at("tid"));
      CHECK(ends[0].at("ts") < ends[1].at("ts"));
    }
  }
}

TEST_CASE("the first slice of a trace", "[pipeline]") {
  const PipelineTimeline timeline = planned(ScheduleKind::dualpipe);
  const auto trace = nlohmann::json::parse(perfetto_trace({{"a \"name\"", &timeline}}, 500));
  const auto& events = trace.at("traceEvents");
  CHECK(events[0].at("args").at("name") == "a \"name\"");
  CHECK(events[1].at("args").at("name") == "rank 0");
  CHECK(events[2] == nlohmann::json({{"ph", "X"},
                                     {"pid", 0},
                                     {"tid", 0},
                                     {"name", "F0:0"},
                                     {"cat", "forward"},
                                     {"ts", 0.0},
                                     {"dur", 500.0}}));
}

TEST_CASE("a picture has each op with its times", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    CAPTURE(schedule_name(kind));
    const PipelineTimeline timeline = planned(kind);
    PictureOptions options;
    options.title = "P < 5 & N > 7";
    const std::string svg = timeline_picture(timeline, options);
    CHECK(count(svg, "<title>") == ops_of(timeline));
    CHECK(count(svg, "<g>") == count(svg, "</g>"));
    CHECK(count(svg, "<text") == count(svg, "</text>"));
    CHECK(svg.find("P &lt; 5 &amp; N &gt; 7") != std::string::npos);
    CHECK(svg.find("<title>F0:0 from 0 to 1 ms</title>") != std::string::npos);
    CHECK(count(svg, "waits ") == 4);
    // Rows without an op and words have a colour for the dark; the ops have the same in both.
    CHECK(count(svg, "prefers-color-scheme:dark") == 1);
    CHECK(count(svg, "class=\"idle\"") == 4);
    CHECK((svg.find("overlapped") != std::string::npos) == (timeline.shape.chunks() == 2));
  }
}
