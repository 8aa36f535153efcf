#pragma once

#include "model/model.hpp"
#include "optimizer/optimizer.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The part of a step that one data rank has.
struct RankLayout {
  Deal deal;
  ModelUse use;
};

/// That of rank `rank` of `ranks` data ranks. Where `parallel.expert` ranks share the experts, each
/// accumulates the lanes of its group's experts: X E / R of them.
RankLayout rank_layout(const Deck& deck, std::int64_t ranks, std::int64_t rank);

/// Which elements of the model's tensors that rank owns.
ModelShards rank_shards(const RankLayout& layout, const Model<float>& model);

/// Takes all memory of a data rank from the arena, weights to workspace, and returns the buffer in
/// which gradients of other ranks arrive (empty on one rank). This is the whole memory plan: with a
/// counting arena nothing is allocated, and neither MPI nor Kokkos needs to run.
Vector<float> allocate_rank(Arena& arena, const RankLayout& layout, const ModelShards& shards,
                            Model<float>& model, Optimizer& optimizer);

}  // namespace moray
