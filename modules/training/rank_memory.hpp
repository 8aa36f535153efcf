#pragma once

#include "comm/mesh.hpp"
#include "model/model.hpp"
#include "optimizer/optimizer.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The part of a step that one data rank has.
struct RankLayout {
  Deal deal;
  ModelUse use;
  ExpertShare share;  ///< without its communicator
};

/// The mesh of a deck on `ranks` data ranks.
MeshShape mesh_shape(const Deck& deck, std::int64_t ranks);
/// That of the rank with this place.
RankLayout rank_layout(const Deck& deck, const MeshShape& shape, const MeshPlace& place);

/// Which elements of the model's tensors that rank owns.
ModelShards rank_shards(const RankLayout& layout, const Model<float>& model);

/// Takes all memory of a data rank from the arena, weights to workspace, and returns the buffer in
/// which gradients of other ranks arrive (empty on one rank). This is the whole memory plan: with a
/// counting arena nothing is allocated, and neither MPI nor Kokkos needs to run.
Vector<float> allocate_rank(Arena& arena, const RankLayout& layout, const ModelShards& shards,
                            Model<float>& model, Optimizer& optimizer);

}  // namespace moray
