#include "training/run_profile.hpp"

#include <fstream>

#include "core/error.hpp"
#include "io/files.hpp"
#include "io/json.hpp"

namespace moray {
namespace {

constexpr const char* kFormat = "moray-profile";
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kLargest = 1 << 20;

double json_real(const nlohmann::json& object, const char* key, const std::string& place) {
  const nlohmann::json& value = json_member(object, key, place);
  if (!value.is_number()) fail(ExitCode::io, "{}: '{}' is not a number", place, key);
  return value.get<double>();
}

}  // namespace

std::string run_profile_path(const std::string& run) {
  return run + "/profile.json";
}

void write_run_profile(const std::string& run, const RunProfile& profile) {
  using Json = nlohmann::ordered_json;
  Json parts = Json::array();
  for (const RunProfile::Part& part : profile.parts) {
    parts.push_back({{"name", part.name},
                     {"calls", part.calls},
                     {"slowest_seconds", part.slowest},
                     {"mean_seconds", part.mean}});
  }
  Json kernels = Json::array();
  for (const KernelTimes::Kernel& kernel : profile.kernels) {
    kernels.push_back(
        {{"name", kernel.name}, {"calls", kernel.calls}, {"seconds", kernel.seconds}});
  }
  Json sent = Json::array();
  for (const RunProfile::Sent& kind : profile.sent) {
    sent.push_back({{"name", kind.name},
                    {"inside_mean", kind.inside_mean},
                    {"inside_most", kind.inside_most},
                    {"across_mean", kind.across_mean},
                    {"across_most", kind.across_most}});
  }
  Json arena;
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i)
    arena[std::string(kMemoryNames[i])] = profile.arena[i];
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"ranks", profile.ranks},
               {"threads", profile.threads},
               {"first_step", profile.first_step},
               {"last_step", profile.last_step},
               {"seconds", profile.seconds},
               {"resident_bytes", {{"started", profile.started}, {"peak", profile.peak}}},
               {"arena_bytes", arena},
               {"sent_bytes_per_step", sent},
               {"parts", parts},
               {"kernels", kernels}};
  if (profile.copies.tokens > 0) {
    json["token_copies"] = {{"tokens_per_step", profile.copies.tokens},
                            {"across_nodes", profile.copies.across},
                            {"inside_nodes", profile.copies.inside}};
  }
  replace_text(run_profile_path(run), json.dump(1) + "\n");
}

RunProfile read_run_profile(const std::string& run) {
  const std::string place = run_profile_path(run);
  const nlohmann::json json = parse_json(read_text(place, kLargest), {}, place);
  if (json_string(json, "format", place) != kFormat ||
      json_integer(json, "version", place) != kVersion)
    fail(ExitCode::io, "{}: is not a {} of version {}", place, kFormat, kVersion);
  RunProfile profile;
  profile.ranks = json_integer(json, "ranks", place);
  profile.threads = json_integer(json, "threads", place);
  profile.first_step = json_integer(json, "first_step", place);
  profile.last_step = json_integer(json, "last_step", place);
  profile.seconds = json_real(json, "seconds", place);
  const nlohmann::json& resident = json_member(json, "resident_bytes", place);
  profile.started = json_integer(resident, "started", place);
  profile.peak = json_integer(resident, "peak", place);
  const nlohmann::json& arena = json_member(json, "arena_bytes", place);
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i) {
    const std::string name(kMemoryNames[i]);
    // Runs from before there was this kind of memory had none of it.
    if (arena.contains(name)) profile.arena[i] = json_integer(arena, name.c_str(), place);
  }
  if (json.contains("sent_bytes_per_step")) {  // not in runs from before they were counted
    for (const nlohmann::json& kind : json_array(json, "sent_bytes_per_step", place)) {
      profile.sent.push_back(
          {json_string(kind, "name", place), json_real(kind, "inside_mean", place),
           json_real(kind, "inside_most", place), json_real(kind, "across_mean", place),
           json_real(kind, "across_most", place)});
    }
  }
  if (json.contains("token_copies")) {
    const nlohmann::json& copies = json_member(json, "token_copies", place);
    profile.copies = {json_real(copies, "tokens_per_step", place),
                      json_real(copies, "across_nodes", place),
                      json_real(copies, "inside_nodes", place)};
  }
  for (const nlohmann::json& part : json_array(json, "parts", place)) {
    profile.parts.push_back({json_string(part, "name", place), json_integer(part, "calls", place),
                             json_real(part, "slowest_seconds", place),
                             json_real(part, "mean_seconds", place)});
  }
  for (const nlohmann::json& kernel : json_array(json, "kernels", place)) {
    profile.kernels.push_back({json_string(kernel, "name", place),
                               json_integer(kernel, "calls", place),
                               json_real(kernel, "seconds", place)});
  }
  return profile;
}

std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  const std::string key = "VmHWM:";
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) == 0) return 1024 * std::atoll(line.c_str() + key.size());
  }
  return 0;
}

}  // namespace moray
