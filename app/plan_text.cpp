// What moray plan prints.
#include "plan_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "training/layout_rules.hpp"

namespace moray {

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

bool fits(const Plan& plan, const Hardware& hardware) {
  const std::int64_t host = plan.bytes[static_cast<std::size_t>(Memory::snapshot)];
  return static_cast<double>(plan.total_bytes() - host) <= hardware.memory * 1e9;
}

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

void print_places(const Deck& deck, const Plan& plan) {
  const PipelineShape shape = pipeline_shape(deck, deck.batch.sequences, plan.data_ranks);
  fmt::print("\npipeline of {} places, {}, stages {}\n", shape.ranks, schedule_name(shape.kind),
             plan.stages);
  for (std::size_t p = 0; p < plan.places.size(); ++p) {
    const Plan::Place& place = plan.places[p];
    fmt::print("  {:<14} {:>18} {:>18}   {} micro-batches alive, {} put off; {}\n",
               fmt::format("place {}", p), grouped(place.bytes()), bytes_text(place.bytes()),
               place.slots, place.put_off, layers_text(place.chunks));
  }
}

/// What ZeRO stage 1 saves.
void print_split(const Plan& plan) {
  const std::int64_t optimizer = plan.bytes[static_cast<std::size_t>(Memory::optimizer)];
  if (plan.optimizer_unsplit == optimizer) return;
  fmt::print("  {:<14} {:>18} {:>18}   of optimizer, as ranks with the same weights split it\n",
             "saved", grouped(plan.optimizer_unsplit - optimizer),
             bytes_text(plan.optimizer_unsplit - optimizer));
}

/// What fewer bits save of activations, what copies of weights and of operands cost, and what is left.
void print_precision(const Deck& deck, const Plan& plan) {
  if (!deck.model.precision.low()) return;
  const auto change = [&](Memory memory) {
    const auto i = static_cast<std::size_t>(memory);
    return plan.float32_bytes[i] - plan.bytes[i];
  };
  const auto line = [](std::int64_t saved, const std::string& what) {
    const std::int64_t size = saved < 0 ? -saved : saved;
    fmt::print("  {:<14} {:>18} {:>18}   {}\n", saved < 0 ? "added" : "saved", grouped(size),
               bytes_text(size), what);
  };
  line(change(Memory::activations),
       fmt::format("of activations, as {} keeps fewer bits of them", deck.model.precision.compute));
  const std::int64_t weights = change(Memory::weights);
  line(weights, weights < 0
                    ? "of weights: copies that products read"
                    : "of weights: copies that products read, float32 where they are owned");
  line(change(Memory::workspace), "of workspace: operands on their way into products");
  const std::int64_t float32 =
      std::accumulate(plan.float32_bytes.begin(), plan.float32_bytes.end(), std::int64_t{0});
  line(float32 - plan.total_bytes(), "in all, beside float32");
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
  print_precision(deck, plan);
  print_split(plan);
}

void print_fit(const Plan& plan, const Hardware& hardware, const std::vector<Smaller>& smaller) {
  const auto device = static_cast<std::int64_t>(hardware.memory * 1e9);
  const bool fit = fits(plan, hardware);
  fmt::print("  {} the {} of a rank of {}\n", fit ? "fits" : "DOES NOT FIT", bytes_text(device),
             hardware.name);
  for (const Smaller& other : smaller)
    fmt::print("    with {:<45} {:>13}\n", other.keys, bytes_text(other.bytes));
}

void print_traffic(const TrafficPlan& t) {
  if (t.shares == 1) return;
  fmt::print(
      "\ntokens of a micro-batch and layer to the experts of {} ranks, {}, if experts are even\n",
      t.shares, t.two_hops ? "in two hops" : "flat");
  fmt::print(
      "  copies of a token    {:.2f} to other nodes, {:.2f} to other ranks of a node; {} each\n",
      t.across, t.inside, bytes_text(t.row_bytes));
  fmt::print("  rows that arrive     {} mean, {} planned for, {} at worst\n", grouped(t.mean_rows),
             grouped(t.planned_rows), grouped(t.most_rows));
}

/// "dense sums".
std::string spaced(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

/// Mean over ranks and the rank that sends most, inside nodes and across them.
void print_link_row(std::string_view name, const LinkPlan::Row& row) {
  const auto text = [](double bytes) { return bytes_text(std::llround(bytes)); };
  fmt::print("  {:<18} {:>12} {:>12}   {:>12} {:>12}\n", name, text(row.inside.mean),
             text(static_cast<double>(row.inside.most)), text(row.across.mean),
             text(static_cast<double>(row.across.most)));
}

void print_links(const LinkPlan& links) {
  if (links.total.inside.most + links.total.across.most == 0) return;
  fmt::print("\nbytes that a rank sends in a step, {}\n",
             links.node_ranks > 0 ? fmt::format("with {} rank{} on a node", links.node_ranks,
                                                links.node_ranks == 1 ? "" : "s")
                                  : "with all ranks on one node (parallel.nodes says otherwise)");
  fmt::print("  {:<18} {:>25}   {:>25}\n", "", "to ranks of its node", "to other nodes");
  fmt::print("  {:<18} {:>12} {:>12}   {:>12} {:>12}\n", "", "mean", "most", "mean", "most");
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    const LinkPlan::Row& row = links.kinds[kind];
    if (row.inside.most + row.across.most > 0) print_link_row(spaced(kLinkNames[kind]), row);
  }
  print_link_row("all", links.total);
  if (links.sums_unknown)
    fmt::print("  and sums and weights, in ways of MPI's: the data ranks are no power of two\n");
  for (std::size_t p = 0; links.places.size() > 1 && p < links.places.size(); ++p)
    print_link_row(fmt::format("  place {}", p), links.places[p]);
}

}  // namespace

void print_plan(const Deck& deck, const Plan& plan, const Hardware* hardware,
                const std::vector<Smaller>& smaller) {
  print_parameters(plan.parameters);
  print_memory(deck, plan);
  if (hardware != nullptr && hardware->memory > 0) print_fit(plan, *hardware, smaller);
  print_traffic(plan.traffic);
  print_links(plan.links);
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

}  // namespace moray
