#include "planning/plan.hpp"

#include <algorithm>

#include "kernels/gemm/gemm_workspace.hpp"
#include "training/layout_rules.hpp"
#include "training/rank_memory.hpp"
#include "training/samples.hpp"
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

void plan_memory(const Deck& deck, Plan& plan) {
  plan.data_ranks = data_ranks(deck);
  const MeshShape shape = mesh_shape(deck, plan.data_ranks);
  const RankLayout layout = rank_layout(deck, shape, mesh_place(shape, 0));
  Model<float> model(deck.model, layout.share);
  plan.micro = layout.use.sequences;
  plan.micro_batches = deck.batch.sequences / plan.data_ranks / plan.micro;
  plan.lanes = layout.use.lanes;
  plan.expert_lanes = layout.use.expert_lanes;
  Optimizer optimizer(deck.optimizer, model.parameters());
  Arena arena;
  allocate_rank(arena, layout, rank_shards(layout, model), model, optimizer);
  if (const auto sampler = make_sample_decoder(deck, layout.share))
    sampler->allocate(arena, &model);
  for (std::size_t i = 0; i < plan.bytes.size(); ++i)
    plan.bytes[i] = arena.bytes(static_cast<Memory>(i));
  if (kHostBackend) {
    plan.product_bytes =
        GemmWorkspace::capacity_for(deck.run.threads) * static_cast<std::int64_t>(sizeof(float));
  }
}

}  // namespace

std::int64_t Plan::total_bytes() const {
  std::int64_t total = product_bytes;
  for (const std::int64_t b : bytes) total += b;
  return total;
}

Plan make_plan(const Deck& deck) {
  Plan plan;
  Model<float> model(deck.model);
  plan.parameters = count_parameters(model);
  plan.flops = count_flops(deck, plan.parameters.active);
  const AttentionConfig& attention = deck.model.attention;
  plan.cache_elements = deck.model.model.layers * (attention.latent + attention.rope_width);
  plan_memory(deck, plan);
  const Timeline timeline(deck.batch, deck.length);
  plan.steps = timeline.total();
  plan.tokens_per_step = deck.batch.sequences * deck.batch.length;
  plan.run_tokens = static_cast<double>(timeline.samples_before(plan.steps)) *
                    static_cast<double>(deck.batch.length);
  return plan;
}

}  // namespace moray
