#include "planning/plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/gemm/gemm_workspace.hpp"
#include "moe/token_links.hpp"
#include "moe/token_traffic.hpp"
#include "training/fp8_state.hpp"
#include "training/layout_rules.hpp"
#include "training/rank_memory.hpp"
#include "training/samples.hpp"
#include "training/saver.hpp"
#include "training/timeline.hpp"

namespace moray {
namespace {

FlopPlan count_flops(const Deck& deck, std::int64_t active) {
  const AttentionConfig& a = deck.model.attention;
  // 2 S / 2 for scores over nope + rope and for values, of each head.
  const double layer = static_cast<double>(deck.batch.length) * static_cast<double>(a.heads) *
                       static_cast<double>(a.nope_width + a.rope_width + a.value_width);
  FlopPlan flops;
  flops.attention = static_cast<double>(deck.model.model.layers) * layer;
  flops.forward = 2 * static_cast<double>(active) + flops.attention;
  return flops;
}

TrafficPlan plan_traffic(const Deck& deck, const ExpertShare& share, std::int64_t tokens) {
  const MoeConfig& moe = deck.model.moe;
  TrafficPlan traffic;
  traffic.shares = share.shares;
  if (share.whole() || moe.experts == 0) return traffic;
  traffic.node_ranks = share.node_ranks;
  traffic.two_hops = share.two_hops;
  const std::int64_t local = share.count(moe.experts);
  for (const TokenFlow& flow : even_flows(share, moe)) {
    traffic.across += flow.across_out / static_cast<double>(share.shares);
    traffic.inside += flow.inside_out / static_cast<double>(share.shares);
  }
  const std::int64_t choices = std::min(moe.top_k, local);
  traffic.row_bytes = std::llround(copy_bytes(token_row_bytes(deck.model), choices).dispatch);
  Arena arena;
  const TokenTraffic<float> planned(arena, share, 1, tokens, moe.experts, moe.top_k, 1);
  traffic.mean_rows = tokens * moe.top_k;
  traffic.planned_rows = planned.planned_rows();
  traffic.most_rows = tokens * share.shares * choices;
  return traffic;
}

/// Bytes of the optimizer's state for everything that a rank holds.
std::int64_t unsplit_optimizer(const Deck& deck, const Parameters<float>& parameters) {
  ModelShards whole;
  for (int r = 0; r < kRegions; ++r)
    whole.regions[r] = Shards(parameters.size(static_cast<Region>(r)));
  Arena arena;
  Optimizer(deck.optimizer, parameters).allocate(arena, parameters, whole);
  return arena.bytes(Memory::optimizer);
}

}  // namespace

RankMemory plan_rank_memory(const Deck& deck, const RankLayout& layout) {
  Model<float> model(deck.model, layout.share, layout.chunks);
  Optimizer optimizer(deck.optimizer, model.parameters());
  Arena arena;
  allocate_rank(arena, layout, rank_shards(layout, model), model, optimizer, nullptr);
  const auto sampler = layout.pipeline.ranks == 1 ? make_sample_decoder(deck, layout.share)
                                                  : std::unique_ptr<Decoder<float>>();
  if (sampler) sampler->allocate(arena, &model);
  const GateChoice saved_gates = [&](std::size_t moe_layer) {
    return saves_gate(layout, model, moe_layer);
  };
  const Fp8Saving fp8 = allocate_fp8_saving(arena, deck.checkpoint.fp8_weights, model.parameters());
  allocate_snapshot(arena, deck.checkpoint, owned_bytes(model, optimizer, saved_gates, fp8));
  RankMemory memory;
  for (std::size_t i = 0; i < memory.bytes.size(); ++i)
    memory.bytes[i] = arena.bytes(static_cast<Memory>(i));
  for (const Optimizer::Piece& piece : optimizer.pieces()) memory.owned_elements += piece.count;
  memory.optimizer_unsplit = unsplit_optimizer(deck, model.parameters());
  return memory;
}

namespace {

void plan_memory(const Deck& deck, Plan& plan) {
  plan.data_ranks = data_ranks(deck);
  const MeshShape shape = mesh_shape(deck, plan.data_ranks * deck.parallel.pipeline);
  const PipelineLayout common = pipeline_layout(deck, shape.data);
  for (std::int64_t p = 0; p < shape.pipeline; ++p) {
    const RankLayout layout = rank_layout(deck, shape, mesh_place(shape, p * shape.data), common);
    plan.micro = layout.use.sequences;
    plan.micro_batches = layout.pipeline.micro_batches;
    plan.lanes = layout.use.lanes;
    plan.expert_lanes = layout.use.expert_lanes;
    if (p == 0)
      plan.traffic = plan_traffic(deck, layout.share, layout.use.sequences * layout.use.rows);
    plan.stages = to_text(layout.stages);
    plan.places.push_back(
        {layout.chunks, layout.needs.slots, layout.needs.deferred, plan_rank_memory(deck, layout)});
    if (plan.places.back().bytes() > plan.places[plan.largest].bytes())
      plan.largest = static_cast<std::size_t>(p);
  }
  const RankMemory& fullest = plan.places[plan.largest].memory;
  plan.bytes = fullest.bytes;
  plan.owned_elements = fullest.owned_elements;
  plan.optimizer_unsplit = fullest.optimizer_unsplit;
  plan.float32_bytes = fullest.bytes;
  if (deck.model.precision.low()) {
    Deck float32 = deck;
    float32.model.precision = {};
    const MeshPlace place = mesh_place(shape, static_cast<std::int64_t>(plan.largest) * shape.data);
    plan.float32_bytes =
        plan_rank_memory(float32, rank_layout(float32, shape, place, common)).bytes;
  }
  if (kHostBackend) {
    plan.product_bytes =
        GemmWorkspace::capacity_for(deck.run.threads) * static_cast<std::int64_t>(sizeof(float));
  }
}

}  // namespace

std::int64_t RankMemory::total_bytes() const {
  return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
}

std::int64_t Plan::total_bytes() const {
  return product_bytes + places[largest].bytes();
}

Plan make_plan(const Deck& deck) {
  Plan plan;
  Model<float> model(deck.model);
  plan.parameters = count_parameters(model);
  plan.flops = count_flops(deck, plan.parameters.active);
  const AttentionConfig& attention = deck.model.attention;
  plan.cache_elements = deck.model.model.layers * (attention.latent + attention.rope_width);
  plan_memory(deck, plan);
  plan.links = plan_links(deck);
  const Timeline timeline(deck.batch, deck.length);
  plan.steps = timeline.total();
  plan.tokens_per_step = deck.batch.sequences * deck.batch.length;
  plan.run_tokens = static_cast<double>(timeline.samples_before(plan.steps)) *
                    static_cast<double>(deck.batch.length);
  return plan;
}

}  // namespace moray
