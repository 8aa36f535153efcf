// moray plan: what a deck will need, printed on a login node. The numbers are those of the code that
// allocates; neither MPI nor Kokkos starts.
#include "planning/plan.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "plan_schedules.hpp"
#include "plan_text.hpp"
#include "training/deck.hpp"

namespace moray {
namespace {

nlohmann::ordered_json links_json(const LinkPlan& links) {
  using Json = nlohmann::ordered_json;
  const auto row = [](const LinkPlan::Row& r, Json json = Json::object()) {
    json["inside_mean"] = r.inside.mean;
    json["inside_most"] = r.inside.most;
    json["across_mean"] = r.across.mean;
    json["across_most"] = r.across.most;
    return json;
  };
  Json kinds = Json::array(), places = Json::array();
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind)
    kinds.push_back(row(links.kinds[kind], {{"name", kLinkNames[kind]}}));
  for (const LinkPlan::Row& place : links.places) places.push_back(row(place));
  return {{"node_ranks", links.node_ranks},
          {"kinds", kinds},
          {"total", row(links.total)},
          {"places", places},
          {"sums_known", !links.sums_unknown}};
}

void print_json(const std::string& path, const Plan& plan, const Hardware* hardware,
                const ScheduleComparison& schedules) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const ModuleParameters& m : plan.parameters.modules)
    modules.push_back({{"name", m.name}, {"total", m.total}, {"active", m.active}});
  nlohmann::ordered_json places = nlohmann::ordered_json::array();
  for (const Plan::Place& place : plan.places) {
    nlohmann::ordered_json arena;
    for (std::size_t i = 0; i < kMemoryNames.size(); ++i)
      arena[std::string(kMemoryNames[i])] = place.memory.bytes[i];
    places.push_back({{"bytes", place.bytes()},
                      {"arena_bytes", arena},
                      {"micro_batches_alive", place.slots},
                      {"weights_put_off", place.put_off},
                      {"layers", layers_text(place.chunks)}});
  }
  nlohmann::ordered_json bytes;
  for (std::size_t i = 0; i < plan.bytes.size(); ++i)
    bytes[std::string(kMemoryNames[i])] = plan.bytes[i];
  nlohmann::ordered_json float32;
  for (std::size_t i = 0; i < plan.bytes.size(); ++i)
    float32[std::string(kMemoryNames[i])] = plan.float32_bytes[i];
  bytes["products"] = plan.product_bytes;
  bytes["total"] = plan.total_bytes();
  nlohmann::ordered_json result = {
      {"deck", path},
      {"parameters",
       {{"total", plan.parameters.total},
        {"active", plan.parameters.active},
        {"mtp", plan.parameters.mtp},
        {"modules", modules}}},
      {"rank",
       {{"data_ranks", plan.data_ranks},
        {"micro", plan.micro},
        {"micro_batches", plan.micro_batches},
        {"lanes", plan.lanes},
        {"expert_lanes", plan.expert_lanes},
        {"bytes", bytes},
        {"optimizer_bytes_unsplit", plan.optimizer_unsplit},
        {"float32_bytes", float32}}},
      {"pipeline", {{"stages", plan.stages}, {"places", places}, {"fullest", plan.largest}}},
      {"traffic",
       {{"ranks", plan.traffic.shares},
        {"two_hops", plan.traffic.two_hops},
        {"copies_across_nodes", plan.traffic.across},
        {"copies_inside_nodes", plan.traffic.inside},
        {"copy_bytes", plan.traffic.row_bytes},
        {"rows_mean", plan.traffic.mean_rows},
        {"rows_planned", plan.traffic.planned_rows},
        {"rows_worst", plan.traffic.most_rows}}},
      {"sent_bytes", links_json(plan.links)},
      {"flops_per_token",
       {{"forward", plan.flops.forward},
        {"attention", plan.flops.attention},
        {"training", plan.flops.training()}}},
      {"cache_elements_per_token", plan.cache_elements},
      {"cache_bytes_per_token",
       {{"bf16", 2 * plan.cache_elements}, {"float32", 4 * plan.cache_elements}}},
      {"run",
       {{"steps", plan.steps},
        {"tokens_per_step", plan.tokens_per_step},
        {"tokens", plan.run_tokens},
        {"flops", plan.run_flops()}}}};
  if (hardware != nullptr && hardware->memory > 0) result["rank"]["fits"] = fits(plan, *hardware);
  if (!schedules.plans.empty()) result["schedules"] = schedules_json(schedules);
  fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

/// What would make a plan smaller that does not fit, as far as the deck's rules allow it.
std::vector<Smaller> smaller_plans(const Options& options, const Plan& plan) {
  std::vector<Smaller> found;
  std::vector<std::string> overrides = options.overrides;
  std::string keys;
  std::int64_t least = plan.total_bytes();
  for (const std::string key : {"run.recompute=true", "precision.compute=fp8"}) {
    overrides.push_back(key);
    const DeckReading other = try_read_deck(options.deck, overrides, options.ranks);
    const std::int64_t bytes = other.problems.empty() ? make_plan(other.deck).total_bytes() : least;
    if (bytes < least) {
      keys += (keys.empty() ? "" : " ") + key;
      least = bytes;
      found.push_back({keys, bytes});
    } else {
      overrides.pop_back();
    }
  }
  return found;
}

}  // namespace

int plan(const Options& options) {
  const Deck deck = read_deck(options.deck, options.overrides, nullptr, options.ranks);
  const Plan plan = make_plan(deck);
  std::optional<Hardware> hardware;
  if (!options.hardware.empty()) hardware = read_hardware(options.hardware);
  const Hardware* machine = hardware ? &*hardware : nullptr;
  const ScheduleComparison schedules = compare_schedules(options, deck, plan.links, machine);
  if (options.json) {
    print_json(options.deck, plan, machine, schedules);
  } else {
    const bool fit = machine == nullptr || fits(plan, *machine);
    print_plan(deck, plan, machine, fit ? std::vector<Smaller>() : smaller_plans(options, plan));
    print_schedules(schedules);
    if (schedules.plans.empty() && deck.parallel.pipeline > 1) print_times_hint(options);
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
