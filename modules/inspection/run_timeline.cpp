#include "inspection/run_timeline.hpp"

#include <array>

#include "core/error.hpp"
#include "io/files.hpp"
#include "io/json.hpp"
#include "training/step_timeline.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kLargest = std::int64_t{256} << 20;
constexpr std::size_t kMostPipelines = 8;  ///< in a page
constexpr std::size_t kMostOps = 40'000;   ///< of the pipelines that are shown

/// A timeline file under its own name, which every error says.
class TimelineFile {
 public:
  explicit TimelineFile(const std::string& path)
      : path_(path),
        json_(
            parse_json(read_text(path, kLargest), {static_cast<std::size_t>(kLargest), 8}, path)) {
    if (json_string(json_, "format", path) != kTimelineFormat ||
        json_integer(json_, "version", path) != kTimelineVersion)
      fail(ExitCode::io, "{}: is not a {} of version {}", path, kTimelineFormat, kTimelineVersion);
    for (const nlohmann::json& list : json_array(json_, "ops", path)) {
      if (!list.is_array()) wrong("ops");
      for (const nlohmann::json& op : list)
        if (!op.is_string()) wrong("ops");
      lengths_.push_back(list.size());
    }
    if (lengths_.empty()) wrong("ops");
  }

  const nlohmann::json& json() const { return json_; }
  std::size_t places() const { return lengths_.size(); }
  std::size_t ops() const {
    std::size_t sum = 0;
    for (const std::size_t length : lengths_) sum += length;
    return sum;
  }

  std::int64_t integer(const nlohmann::json& object, const char* key) const {
    return json_integer(object, key, path_);
  }
  double number(const nlohmann::json& object, const char* key) const {
    const nlohmann::json& value = json_member(object, key, path_);
    if (!value.is_number()) wrong(key);
    return value.get<double>();
  }
  const nlohmann::json& member(const char* key) const { return json_member(json_, key, path_); }
  const nlohmann::json& list(const char* key) const { return json_array(json_, key, path_); }
  const std::string& text(const nlohmann::json& object, const char* key) const {
    return json_string(object, key, path_);
  }
  /// One time for each op of a pipeline rank.
  void copy_times(const nlohmann::json& from, const char* key, std::size_t place, Json& to) const {
    const nlohmann::json& values = json_array(from, key, path_);
    if (values.size() != lengths_.at(place)) wrong(key);
    for (const nlohmann::json& value : values)
      if (!value.is_number()) wrong(key);
    to[key] = values;
  }
  [[noreturn]] void wrong(const char* key) const {
    fail(ExitCode::io, "{}: '{}' is not as docs/schema/timeline.schema.json says", path_, key);
  }

 private:
  std::string path_;
  nlohmann::json json_;
  std::vector<std::size_t> lengths_;  ///< of the lists of ops
};

Json planned(const TimelineFile& file) {
  const nlohmann::json& ranks = file.list("planned");
  if (ranks.size() != file.places()) file.wrong("planned");
  Json result = Json::array();
  for (std::size_t place = 0; place < ranks.size(); ++place) {
    Json rank;
    for (const char* key : {"start_us", "end_us"}) file.copy_times(ranks[place], key, place, rank);
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
      file.copy_times(ranks[i], key, place, rank);
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
