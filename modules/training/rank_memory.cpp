#include "training/rank_memory.hpp"

#include <algorithm>

#include "optimizer/lane_reducer.hpp"

namespace moray {
namespace {

/// b of a deck: its own, or all sequences that a rank has in every step.
std::int64_t micro_batch(const Deck& deck, std::int64_t ranks) {
  if (deck.batch.micro > 0) return deck.batch.micro;
  const std::int64_t all =
      deck.batch.ramp_from > 0 ? deck.batch.ramp_multiple : deck.batch.sequences;
  return std::max<std::int64_t>(all / ranks, 1);
}

}  // namespace

RankLayout rank_layout(const Deck& deck, std::int64_t ranks, std::int64_t rank) {
  RankLayout layout;
  layout.deal = {deck.parallel.lanes, deck.parallel.expert_lanes * deck.parallel.expert, ranks,
                 rank};
  // Any number of ranks: one lane each.
  if (deck.run.determinism == "run") layout.deal.lanes = layout.deal.expert_lanes = ranks;
  // Without experts their lanes hold nothing, and no rule ties them to the ranks.
  if (deck.model.moe.experts == 0) layout.deal.expert_lanes = ranks;
  layout.use = {.sequences = micro_batch(deck, ranks),
                .rows = deck.batch.length,
                .training = true,
                .recompute = deck.run.recompute,
                .lanes = layout.deal.local_lanes(),
                .expert_lanes = layout.deal.local_expert_lanes()};
  return layout;
}

ModelShards rank_shards(const RankLayout& layout, const Model<float>& model) {
  ModelShards shards;
  for (const Region region : {Region::dense, Region::expert}) {
    shards.regions[static_cast<std::size_t>(region)] =
        Shards::of(model.parameters(), region, layout.deal.data_ranks, layout.deal.rank);
  }
  return shards;
}

Vector<float> allocate_rank(Arena& arena, const RankLayout& layout, const ModelShards& shards,
                            Model<float>& model, Optimizer& optimizer) {
  model.allocate(arena, layout.use);
  optimizer.allocate(arena, model.parameters(), shards);
  return arena.vector<float>(Memory::communication,
                             std::max(LaneReducer::buffer_size(shards[Region::dense]),
                                      LaneReducer::buffer_size(shards[Region::expert])));
}

}  // namespace moray
