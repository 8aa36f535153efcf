#include "inspection/run_report.hpp"

#include <filesystem>
#include <functional>
#include <sstream>

#include "core/error.hpp"
#include "inspection/fp8_report.hpp"
#include "inspection/run_series.hpp"
#include "inspection/run_timeline.hpp"
#include "io/files.hpp"
#include "io/run_folder.hpp"
#include "planning/plan.hpp"
#include "training/deck.hpp"
#include "training/run_profile.hpp"

namespace moray {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kLargestText = 4 << 20;

/// Does a part of the report; what stops it becomes a note, so that the rest is shown.
void attempt(Json& report, const std::function<void()>& part) {
  try {
    part();
  } catch (const Error& error) {
    report["notes"].push_back(error.what());
  }
}

/// Lines "key value" of build.txt and environment.txt; "" where a key is not there.
std::string value_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind(key + " ", 0) == 0) return line.substr(key.size() + 1);
  return "";
}

/// "20260102T030405Z" as "2026-01-02 03:04:05 UTC".
std::string readable_time(const std::string& t) {
  if (t.size() != 16 || t[8] != 'T' || t[15] != 'Z') return t;
  return t.substr(0, 4) + "-" + t.substr(4, 2) + "-" + t.substr(6, 2) + " " + t.substr(9, 2) + ":" +
         t.substr(11, 2) + ":" + t.substr(13, 2) + " UTC";
}

void add_environment(const std::string& run, Json& report) {
  const std::string newest = RunFolder::newest_start(run);
  const std::string build = read_text(newest + "/build.txt", kLargestText);
  const std::string environment = read_text(newest + "/environment.txt", kLargestText);
  const std::string first = read_text(run + "/environment.txt", kLargestText);
  report["build"] = {{"version", value_of(build, "version")},
                     {"commit", value_of(build, "commit")},
                     {"compiler", value_of(build, "compiler")},
                     {"kokkos", value_of(build, "Kokkos")}};
  report["host"] = value_of(environment, "host");
  report["started"] = readable_time(value_of(first, "date"));
}

/// What the deck says, and what it plans. Returns the trunk's MoE layers.
std::int64_t add_deck(const std::string& run, Json& report) {
  const std::string place = RunFolder::newest_start(run) + "/resolved.yaml";
  const DeckReading reading = read_deck_text(read_text(place, kLargestText), place);
  if (!reading.problems.empty()) throw Error(ExitCode::io, reading.problems.report(place));
  const Deck& deck = reading.deck;
  report["deck"] = deck.run.name;
  report["seed"] = deck.run.seed;
  report["ranks"] = deck.run.ranks;
  report["threads"] = deck.run.threads;
  const Plan plan = make_plan(deck);
  report["steps"] = plan.steps;
  report["tokens_per_step"] = plan.tokens_per_step;
  report["parameters"] = {{"total", plan.parameters.total},
                          {"active", plan.parameters.active},
                          {"mtp", plan.parameters.mtp}};
  Json bytes;
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i)
    bytes[std::string(kMemoryNames[i])] = plan.bytes[i];
  bytes["products"] = plan.product_bytes;
  report["memory"]["plan"] = bytes;
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    const LinkPlan::Row& row = plan.links.kinds[kind];
    report["sent_plan"][std::string(kLinkNames[kind])] = row.inside.mean + row.across.mean;
  }
  if (plan.traffic.shares > 1)
    report["copies_plan"] = {{"across", plan.traffic.across}, {"inside", plan.traffic.inside}};
  const ModelConfig& model = deck.model;
  if (model.moe.experts == 0) return 0;
  Json names = Json::array();
  for (std::int64_t i = model.model.dense_layers; i < model.model.layers; ++i)
    names.push_back(fmt::format("layer {}", i));
  const auto trunk = static_cast<std::int64_t>(names.size());
  for (std::int64_t k = 0; k < model.mtp.depth; ++k) names.push_back(fmt::format("MTP {}", k + 1));
  report["moe_layers"] = names;
  return trunk;
}

void add_profile(const std::string& run, Json& report) {
  const RunProfile profile = read_run_profile(run);
  report["memory"]["started"] = profile.started;
  report["memory"]["peak"] = profile.peak;
  Json parts = Json::array();
  for (const RunProfile::Part& part : profile.parts) {
    if (part.calls == 0) continue;
    parts.push_back({{"name", part.name},
                     {"calls", part.calls},
                     {"slowest", part.slowest},
                     {"mean", part.mean}});
  }
  Json kernels = Json::array();
  for (const KernelTimes::Kernel& kernel : profile.kernels) {
    kernels.push_back(
        {{"name", kernel.name}, {"calls", kernel.calls}, {"seconds", kernel.seconds}});
  }
  Json sent = Json::array();
  for (const RunProfile::Sent& kind : profile.sent) {
    sent.push_back({{"name", kind.name},
                    {"inside", kind.inside_mean},
                    {"across", kind.across_mean},
                    {"most", std::max(kind.inside_most, kind.across_most)}});
  }
  report["profile"] = {{"first_step", profile.first_step},
                       {"last_step", profile.last_step},
                       {"seconds", profile.seconds},
                       {"parts", parts},
                       {"sent", sent},
                       {"kernels", kernels}};
  if (profile.copies.tokens > 0) {
    report["profile"]["copies"] = {{"tokens", profile.copies.tokens},
                                   {"across", profile.copies.across},
                                   {"inside", profile.copies.inside}};
  }
}

/// The name that tells runs apart: the last part of the path that has one.
std::string name_of_run(const std::string& run) {
  const std::filesystem::path path = std::filesystem::path(run).lexically_normal();
  const std::string name =
      path.filename().empty() ? path.parent_path().filename().string() : path.filename().string();
  return name.empty() || name == "." || name == ".." ? run : name;
}

}  // namespace

Json report_of_run(const std::string& run, const ReportLimits& limits) {
  if (!RunFolder::holds_run(run))
    fail(ExitCode::io, "{}: holds no run; name the folder that `moray train --out` made", run);
  Json report = {{"name", name_of_run(run)}, {"path", run}, {"notes", Json::array()}};
  std::int64_t trunk = 0;
  attempt(report, [&] { report["status"] = RunFolder::status_of(run); });
  attempt(report, [&] { add_environment(run, report); });
  attempt(report, [&] { trunk = add_deck(run, report); });
  attempt(report, [&] { add_profile(run, report); });
  attempt(report, [&] { add_metrics(run, trunk, limits, report); });
  attempt(report, [&] { add_fp8(run, limits, report); });
  attempt(report, [&] { add_timeline(run, report); });
  return report;
}

}  // namespace moray
