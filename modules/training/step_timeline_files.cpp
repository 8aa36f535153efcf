// A timeline as files and as lines of the log.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/checkpoint_folder.hpp"
#include "io/files.hpp"
#include "pipeline/trace.hpp"
#include "training/step_timeline.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kEnding = ".timeline.json";

std::string traces_of(const std::string& run) {
  return run + "/traces";
}

/// Microseconds with one decimal.
double microseconds(double seconds) {
  return std::round(1e7 * seconds) / 10;
}

template <class Values, class Value>
Json times(const Values& values, const Value& value) {
  Json list = Json::array();
  for (const auto& v : values) list.push_back(microseconds(value(v)));
  return list;
}

Json planned_json(const StepTimeline& timeline) {
  Json ranks = Json::array();
  for (const auto& events : timeline.planned.ranks) {
    ranks.push_back({{"start_us", times(events, [](const TimelineEvent& e) { return e.start; })},
                     {"end_us", times(events, [](const TimelineEvent& e) { return e.end; })}});
  }
  return ranks;
}

Json ranks_json(const StepTimeline& timeline) {
  Json ranks = Json::array();
  for (std::size_t j = 0; j < timeline.times.size(); ++j) {
    for (std::size_t p = 0; p < timeline.times[j].size(); ++p) {
      const auto& ops = timeline.times[j][p].ops;
      ranks.push_back(
          {{"rank", timeline.ranks[j][p].rank},
           {"data", j},
           {"pipeline", p},
           {"asked_us", times(ops, [](const RankTimes::Op& op) { return op.asked; })},
           {"start_us", times(ops, [](const RankTimes::Op& op) { return op.start; })},
           {"end_us", times(ops, [](const RankTimes::Op& op) { return op.end; })},
           {"tokens_us", times(ops, [](const RankTimes::Op& op) { return op.tokens; })}});
    }
  }
  return ranks;
}

Json phases_json(const StepTimeline& timeline) {
  Json phases = Json::array();
  for (std::size_t row = 0; row < kPhaseRows.size(); ++row) {
    for (std::size_t part = 0; part < kPhasePartNames.size(); ++part) {
      const PhaseTime& time = timeline.phases[row][part];
      if (time.seconds == 0) continue;
      phases.push_back({{"phase", kPhaseRows[row]},
                        {"part", kPhasePartNames[part]},
                        {"us", microseconds(time.seconds)},
                        {"waited_us", microseconds(time.waited)}});
    }
  }
  return phases;
}

std::string timeline_json(const StepTimeline& timeline) {
  const PipelineShape& shape = timeline.schedule.shape;
  const TimeShares& s = timeline.shares;
  Json ops = Json::array();
  for (const auto& list : timeline.schedule.ops) {
    Json texts = Json::array();
    for (const PipelineOp& op : list) texts.push_back(to_text(op));
    ops.push_back(std::move(texts));
  }
  const Json json = {{"format", kTimelineFormat},
                     {"version", kTimelineVersion},
                     {"step", timeline.step},
                     {"schedule", schedule_name(shape.kind)},
                     {"pipeline", shape.ranks},
                     {"data", timeline.times.size()},
                     {"expert", timeline.expert},
                     {"micro_batches", shape.micro_batches},
                     {"length_us", microseconds(timeline.length)},
                     {"planned_length_us", microseconds(timeline.planned.end())},
                     {"reduce_us", microseconds(timeline.reduce)},
                     {"update_us", microseconds(timeline.update)},
                     {"clock_error_us", microseconds(timeline.clock_error)},
                     {"lost_spans", timeline.lost},
                     {"shares",
                      {{"computing", s.computing},
                       {"tokens", s.tokens},
                       {"stages", s.stages},
                       {"bubble", s.bubble},
                       {"planned_bubble", timeline.planned_bubble}}},
                     {"phases", phases_json(timeline)},
                     {"ops", std::move(ops)},
                     {"planned", planned_json(timeline)},
                     {"ranks", ranks_json(timeline)}};
  return json.dump() + "\n";
}

std::string trace_json(const StepTimeline& timeline) {
  std::vector<PipelineTimeline> measured;
  for (const std::vector<RankTimes>& pipeline : timeline.times)
    measured.push_back(timeline_of(timeline.schedule, pipeline));
  std::vector<NamedTimeline> named = {{"planned with the measured durations", &timeline.planned}};
  for (std::size_t j = 0; j < measured.size(); ++j) {
    NamedTimeline& next = named.emplace_back();
    next.name = measured.size() == 1 ? "measured" : fmt::format("measured, data rank {}", j);
    next.timeline = &measured[j];
    for (std::size_t p = 0; p < timeline.ranks[j].size(); ++p) {
      next.spans.push_back(timeline.ranks[j][p].spans);
      next.tracks.push_back(fmt::format("stage rank {} (rank {})", p, timeline.ranks[j][p].rank));
    }
  }
  return perfetto_trace(named, 1e6);
}

}  // namespace

void write_timeline(const std::string& run, const StepTimeline& timeline) {
  const std::string folder = traces_of(run);
  if (!is_folder(folder)) make_folder(folder);
  const std::string path = folder + "/" + checkpoint_name(timeline.step);
  replace_text(path + ".json", trace_json(timeline));
  replace_text(path + kEnding, timeline_json(timeline));
}

std::string newest_timeline(const std::string& run) {
  std::string newest;
  for (const std::string& name : list_folder(traces_of(run)))
    if (name.ends_with(kEnding)) newest = traces_of(run) + "/" + name;  // the list is sorted
  return newest;
}

std::vector<std::string> timeline_table(const StepTimeline& timeline) {
  const PipelineShape& shape = timeline.schedule.shape;
  const TimeShares& s = timeline.shares;
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{:<28} {:>9} {:>9} {:>9} {:>9}  ms, mean of ranks",
                              fmt::format("timeline of step {}", timeline.step), "F", "B", "W",
                              "waiting"));
  for (std::size_t row = 0; row < kPhaseRows.size(); ++row) {
    const auto& parts = timeline.phases[row];
    std::string line = fmt::format("  {:<26}", kPhaseRows[row]);
    double waited = 0;
    for (const PhaseTime& part : parts) {
      line += fmt::format(" {:>9.2f}", 1e3 * part.seconds);
      waited += part.waited;
    }
    lines.push_back(line + fmt::format(" {:>9.2f}", 1e3 * waited));
  }
  lines.push_back(
      fmt::format("  {} of {} x {} ranks in {:.2f} ms: bubble {:.1f} % (planned {:.1f} %), exposed "
                  "communication {:.1f} % (tokens {:.1f}, stages {:.1f})",
                  schedule_name(shape.kind), shape.ranks, timeline.times.size(),
                  1e3 * timeline.length, 100 * s.bubble, 100 * timeline.planned_bubble,
                  100 * s.exposed(), 100 * s.tokens, 100 * s.stages));
  return lines;
}

}  // namespace moray
