#include "training/timeline_file.hpp"

#include "core/error.hpp"
#include "io/files.hpp"
#include "io/json.hpp"
#include "training/step_timeline.hpp"

namespace moray {
namespace {

constexpr std::int64_t kLargest = std::int64_t{256} << 20;

}  // namespace

TimelineFile::TimelineFile(const std::string& path)
    : path_(path),
      json_(parse_json(read_text(path, kLargest), {static_cast<std::size_t>(kLargest), 8}, path)) {
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

std::size_t TimelineFile::ops() const {
  std::size_t sum = 0;
  for (const std::size_t length : lengths_) sum += length;
  return sum;
}

std::int64_t TimelineFile::integer(const nlohmann::json& object, const char* key) const {
  return json_integer(object, key, path_);
}

double TimelineFile::number(const nlohmann::json& object, const char* key) const {
  const nlohmann::json& value = json_member(object, key, path_);
  if (!value.is_number()) wrong(key);
  return value.get<double>();
}

const std::string& TimelineFile::text(const nlohmann::json& object, const char* key) const {
  return json_string(object, key, path_);
}

const nlohmann::json& TimelineFile::member(const char* key) const {
  return json_member(json_, key, path_);
}

const nlohmann::json& TimelineFile::list(const char* key) const {
  return json_array(json_, key, path_);
}

const nlohmann::json& TimelineFile::times(const nlohmann::json& from, const char* key,
                                          std::size_t place) const {
  const nlohmann::json& values = json_array(from, key, path_);
  if (values.size() != lengths_.at(place)) wrong(key);
  for (const nlohmann::json& value : values)
    if (!value.is_number()) wrong(key);
  return values;
}

void TimelineFile::wrong(const char* key) const {
  fail(ExitCode::io, "{}: '{}' is not as docs/schema/timeline.schema.json says", path_, key);
}

}  // namespace moray
