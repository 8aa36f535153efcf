#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moray {

/// A file traces/step_N.timeline.json of a run (docs/schema/timeline.schema.json), read under its own
/// name, which every error says. All throw Error(io) for what is not as the schema says.
class TimelineFile {
 public:
  explicit TimelineFile(const std::string& path);

  const std::string& path() const { return path_; }
  const nlohmann::json& json() const { return json_; }
  /// Ranks of a pipeline, and the ops of all of them.
  std::size_t places() const { return lengths_.size(); }
  std::size_t ops() const;

  std::int64_t integer(const nlohmann::json& object, const char* key) const;
  double number(const nlohmann::json& object, const char* key) const;
  const std::string& text(const nlohmann::json& object, const char* key) const;
  const nlohmann::json& member(const char* key) const;
  const nlohmann::json& list(const char* key) const;
  /// The numbers `from[key]`, one for each op of a rank of a pipeline.
  const nlohmann::json& times(const nlohmann::json& from, const char* key, std::size_t place) const;
  [[noreturn]] void wrong(const char* key) const;

 private:
  std::string path_;
  nlohmann::json json_;
  std::vector<std::size_t> lengths_;  ///< of the lists of ops
};

}  // namespace moray
