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

MeshShape mesh_shape(const Deck& deck, std::int64_t ranks) {
  return {.data = ranks,
          .expert = deck.parallel.expert,
          .nodes = deck.parallel.nodes,
          .exact = deck.run.determinism == "exact"};
}

RankLayout rank_layout(const Deck& deck, const MeshShape& shape, const MeshPlace& place) {
  RankLayout layout;
  layout.deal = {deck.parallel.lanes, deck.parallel.expert_lanes, shape.data, place.data, {}};
  for (std::int64_t share = 0; shape.expert > 1 && share < shape.expert; ++share)
    layout.deal.group.push_back(group_member(shape, place, share));
  // Any number of ranks: one lane each.
  if (!shape.exact) {
    layout.deal.lanes = shape.data;
    layout.deal.expert_lanes = layout.deal.replicas();
  }
  // Without experts their lanes hold nothing, and no rule ties them to the ranks.
  if (deck.model.moe.experts == 0) layout.deal.expert_lanes = shape.data;
  layout.use = {.sequences = micro_batch(deck, shape.data),
                .rows = deck.batch.length,
                .training = true,
                .recompute = deck.run.recompute,
                .lanes = layout.deal.local_lanes(),
                .expert_lanes = layout.deal.local_expert_lanes()};
  layout.share.shares = shape.expert;
  layout.share.share = place.share;
  layout.share.headroom = deck.parallel.headroom;
  if (shape.nodes > 0) layout.share.node_ranks = group_node_ranks(shape, shape.data / shape.nodes);
  layout.share.two_hops = deck.parallel.traffic != "flat" && layout.share.node_ranks > 0;
  return layout;
}

ModelShards rank_shards(const RankLayout& layout, const Model<float>& model) {
  ModelShards shards;
  const Deal& deal = layout.deal;
  shards.regions[0] = Shards::of(model.parameters(), Region::dense, deal.data_ranks, deal.rank);
  shards.regions[1] =
      Shards::of(model.parameters(), Region::expert, deal.replicas(), deal.rank % deal.replicas());
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
