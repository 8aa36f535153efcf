#include "inspection/run_timeline.hpp"

#include "io/json.hpp"
#include "training/step_timeline.hpp"
#include "training/timeline_file.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::size_t kMostPipelines = 8;  ///< in a page
constexpr std::size_t kMostOps = 40'000;   ///< of the pipelines that are shown

Json planned(const TimelineFile& file) {
  const nlohmann::json& ranks = file.list("planned");
  if (ranks.size() != file.places()) file.wrong("planned");
  Json result = Json::array();
  for (std::size_t place = 0; place < ranks.size(); ++place) {
    Json rank;
    for (const char* key : {"start_us", "end_us"}) rank[key] = file.times(ranks[place], key, place);
    result.push_back(std::move(rank));
  }
  return result;
}

/// The ranks of a file come pipeline by pipeline.
Json pipelines(const TimelineFile& file) {
  const nlohmann::json& ranks = file.list("ranks");
  if (ranks.empty() || ranks.size() % file.places() != 0) file.wrong("ranks");
  Json result = Json::array();
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::size_t place = i % file.places();
    if (place == 0 && (result.size() == kMostPipelines ||
                       (!result.empty() && (result.size() + 1) * file.ops() > kMostOps)))
      break;
    if (place == 0) result.push_back(Json::array());
    Json rank = {{"rank", file.integer(ranks[i], "rank")}};
    for (const char* key : {"asked_us", "start_us", "end_us", "tokens_us"})
      rank[key] = file.times(ranks[i], key, place);
    result.back().push_back(std::move(rank));
  }
  return result;
}

Json phases(const TimelineFile& file) {
  Json result = Json::array();
  for (const nlohmann::json& phase : file.list("phases")) {
    result.push_back({{"phase", file.text(phase, "phase")},
                      {"part", file.text(phase, "part")},
                      {"us", file.number(phase, "us")},
                      {"waited_us", file.number(phase, "waited_us")}});
  }
  return result;
}

}  // namespace

void add_timeline(const std::string& run, Json& report) {
  const std::string path = newest_timeline(run);
  if (path.empty()) return;
  const TimelineFile file(path);
  Json timeline;
  for (const char* key : {"step", "pipeline", "data", "expert", "micro_batches"})
    timeline[key] = file.integer(file.json(), key);
  timeline["schedule"] = file.text(file.json(), "schedule");
  for (const char* key :
       {"length_us", "planned_length_us", "reduce_us", "update_us", "clock_error_us"})
    timeline[key] = file.number(file.json(), key);
  for (const char* key : {"computing", "tokens", "stages", "bubble", "planned_bubble"})
    timeline["shares"][key] = file.number(file.member("shares"), key);
  timeline["phases"] = phases(file);
  timeline["ops"] = file.list("ops");
  timeline["planned"] = planned(file);
  timeline["pipelines"] = pipelines(file);
  report["timeline"] = std::move(timeline);
}

}  // namespace moray
