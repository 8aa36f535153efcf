// moray plan: what a deck will need, printed on a login node. The numbers are those of the code that
// allocates; neither MPI nor Kokkos starts.
#include "planning/plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "plan_schedules.hpp"
#include "training/deck.hpp"
#include "training/layout_rules.hpp"

namespace moray {
namespace {

/// "671,026,419,200"
std::string grouped(std::int64_t n) {
  std::string text = fmt::format("{}", n);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string bytes_text(std::int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 2, kUnits[unit]);
}

std::string flops_text(double flops) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
  std::size_t unit = 0;
  for (; flops >= 1000 && unit + 1 < std::size(kUnits); ++unit) flops /= 1000;
  return fmt::format("{:.4g} {}FLOP", flops, kUnits[unit]);
}

void print_parameters(const ParameterPlan& p) {
  fmt::print("{:<16} {:>18} {:>18}\n", "parameters", "total", "active");
  for (const ModuleParameters& m : p.modules)
    fmt::print("  {:<14} {:>18} {:>18}\n", m.name, grouped(m.total), grouped(m.active));
  fmt::print("  {:<14} {:>18} {:>18}\n", "model", grouped(p.total), grouped(p.active));
  if (p.mtp > 0) fmt::print("  {:<14} {:>18}   unique to MTP modules\n", "mtp", grouped(p.mtp));
}

/// "embedding, layers 0-3 and 57-60, head"
std::string layers_text(const std::vector<ModelChunk>& chunks) {
  std::vector<std::string> words;
  for (const ModelChunk& chunk : chunks) {
    if (chunk.embedding) words.emplace_back("embedding");
    if (chunk.layers == 1) words.push_back(fmt::format("layer {}", chunk.first));
    if (chunk.layers > 1)
      words.push_back(fmt::format("layers {}-{}", chunk.first, chunk.first + chunk.layers - 1));
    if (chunk.head) words.emplace_back("head");
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

void print_places(const Deck& deck, const Plan& plan) {
  const PipelineShape shape = pipeline_shape(deck, deck.batch.sequences, plan.data_ranks);
  fmt::print("\npipeline of {} places, {}, stages {}\n", shape.ranks, schedule_name(shape.kind),
             plan.stages);
  for (std::size_t p = 0; p < plan.places.size(); ++p) {
    const Plan::Place& place = plan.places[p];
    fmt::print("  {:<14} {:>18} {:>18}   {} micro-batches alive; {}\n", fmt::format("place {}", p),
               grouped(place.bytes), bytes_text(place.bytes), place.slots,
               layers_text(place.chunks));
  }
}

void print_memory(const Deck& deck, const Plan& plan) {
  if (deck.parallel.pipeline > 1) print_places(deck, plan);
  fmt::print(
      "\nmemory of each of {} data rank{}{} ({} micro-batch{} of {} x {} a step, {} + {} lanes)\n",
      plan.data_ranks, plan.data_ranks == 1 ? "" : "s",
      plan.places.size() > 1 ? fmt::format(" of place {}, the fullest", plan.largest)
                             : std::string(),
      plan.micro_batches, plan.micro_batches == 1 ? "" : "es", plan.micro, deck.batch.length,
      plan.lanes, plan.expert_lanes);
  for (std::size_t i = 0; i < plan.bytes.size(); ++i) {
    fmt::print("  {:<14} {:>18} {:>18}\n", kMemoryNames[i], grouped(plan.bytes[i]),
               bytes_text(plan.bytes[i]));
  }
  fmt::print("  {:<14} {:>18} {:>18}\n", "products", grouped(plan.product_bytes),
             bytes_text(plan.product_bytes));
  fmt::print("  {:<14} {:>18} {:>18}\n", "total", grouped(plan.total_bytes()),
             bytes_text(plan.total_bytes()));
}

void print_traffic(const MoeConfig& moe, const TrafficPlan& t) {
  if (t.shares == 1) return;
  fmt::print(
      "\ntokens of a micro-batch and layer to the experts of {} ranks, {}, if experts are even\n",
      t.shares, t.two_hops ? "in two hops" : "flat");
  fmt::print(
      "  copies of a token    {:.2f} to other nodes, {:.2f} to other ranks of a node; {} each\n",
      t.across, t.inside, bytes_text(t.row_bytes));
  if (moe.top_groups < moe.groups) {
    fmt::print("  (without the limit to {} of {} groups of experts, which makes them fewer)\n",
               moe.top_groups, moe.groups);
  }
  fmt::print("  rows that arrive     {} mean, {} planned for, {} at worst\n", grouped(t.mean_rows),
             grouped(t.planned_rows), grouped(t.most_rows));
}

void print_text(const Deck& deck, const Plan& plan) {
  print_parameters(plan.parameters);
  print_memory(deck, plan);
  print_traffic(deck.model.moe, plan.traffic);
  const FlopPlan& f = plan.flops;
  fmt::print("\ncompute of a token, at {} positions; MFU counts this: no MTP, no recomputation\n",
             deck.batch.length);
  fmt::print("  {:<14} {:>18}   of which attention's causal half {}\n", "forward",
             flops_text(f.forward), flops_text(f.attention));
  fmt::print("  {:<14} {:>18}   three times the forward\n", "training", flops_text(f.training()));
  fmt::print(
      "\nlatent cache of a token: {} elements in {} layers, {} bytes in bf16, {} in float32\n",
      grouped(plan.cache_elements), deck.model.model.layers, grouped(2 * plan.cache_elements),
      grouped(4 * plan.cache_elements));
  fmt::print("\nrun: {} steps, {} tokens a step at the full batch, {:.4g} tokens in all, {}\n",
             grouped(plan.steps), grouped(plan.tokens_per_step), plan.run_tokens,
             flops_text(plan.run_flops()));
}

void print_json(const std::string& path, const Plan& plan, const ScheduleComparison& schedules) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const ModuleParameters& m : plan.parameters.modules)
    modules.push_back({{"name", m.name}, {"total", m.total}, {"active", m.active}});
  nlohmann::ordered_json places = nlohmann::ordered_json::array();
  for (const Plan::Place& place : plan.places)
    places.push_back({{"bytes", place.bytes},
                      {"micro_batches_alive", place.slots},
                      {"layers", layers_text(place.chunks)}});
  nlohmann::ordered_json bytes;
  for (std::size_t i = 0; i < plan.bytes.size(); ++i)
    bytes[std::string(kMemoryNames[i])] = plan.bytes[i];
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
        {"bytes", bytes}}},
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
  if (!schedules.plans.empty()) result["schedules"] = schedules_json(schedules);
  fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

int plan(const Options& options) {
  const Deck deck = read_deck(options.deck, options.overrides, nullptr, options.ranks);
  const Plan plan = make_plan(deck);
  const ScheduleComparison schedules = compare_schedules(options, deck, plan.parameters);
  if (options.json) {
    print_json(options.deck, plan, schedules);
  } else {
    print_text(deck, plan);
    print_schedules(schedules);
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
