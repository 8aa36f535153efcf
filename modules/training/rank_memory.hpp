#pragma once

#include <vector>

#include "comm/mesh.hpp"
#include "model/model.hpp"
#include "optimizer/optimizer.hpp"
#include "pipeline/runtime.hpp"
#include "pipeline/stages.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The part of a step that one rank has.
struct RankLayout {
  PipelineShape pipeline;           ///< with the micro-batches of a full batch
  std::vector<StageLayers> stages;  ///< of all ranks
  std::vector<ModelChunk> chunks;   ///< of this one
  std::vector<Deal> deals;          ///< of each chunk
  ModelUse use;
  ExpertShare share;  ///< without its communicators
  RuntimeNeeds needs;
  /// The embedding of MTP modules is on another rank than the embedding: in the first place of a
  /// pipeline, and in the last.
  bool lends_embedding = false;
  bool borrows_embedding = false;
  /// Text is generated during training: in float32, from all weights.
  bool generates = false;
  std::string saved_fp8 = "none";  ///< which weights checkpoints hold in FP8
  /// The chunk whose gradients are complete while the other one goes on; -1: none. Their reduction
  /// begins meanwhile.
  int early_chunk = -1;

  /// J and R of a region's tensors.
  const Deal& deal(Region region) const {
    const auto chunk = static_cast<std::size_t>(chunk_of(region));
    return deals[chunk < deals.size() ? chunk : 0];
  }
};

/// What the ranks of a step have in common.
struct PipelineLayout {
  std::vector<StageLayers> stages;
  PipelineSchedule schedule;        ///< of a full batch
  std::vector<RuntimeNeeds> needs;  ///< of each place, for every step
};

/// The mesh of a deck on `ranks` ranks.
MeshShape mesh_shape(const Deck& deck, std::int64_t ranks);
/// For `data` data ranks. Throws Error(usage) where there is no such pipeline.
PipelineLayout pipeline_layout(const Deck& deck, std::int64_t data);
/// That of the rank with this place.
RankLayout rank_layout(const Deck& deck, const MeshShape& shape, const MeshPlace& place,
                       const PipelineLayout& common);
inline RankLayout rank_layout(const Deck& deck, const MeshShape& shape, const MeshPlace& place) {
  return rank_layout(deck, shape, place, pipeline_layout(deck, shape.data));
}

/// Which elements of the model's tensors that rank owns.
ModelShards rank_shards(const RankLayout& layout, const Model<float>& model);
/// Those of a use of the embedding. Where MTP modules have a copy of it, the ranks of the last place own
/// of their uses what those of the first own of the tensor.
Shards embedding_shards(const RankLayout& layout, const ModelShards& shards,
                        const Model<float>& model);

/// Leaves this rank, of weights that products read in low precision, the float32 values that it owns.
void split_weights(const RankLayout& layout, const ModelShards& shards, Model<float>& model);

/// What the ranks with copies of a region gather after an update, and who owns it: bytes of
/// Parameters::gathered(). Before Parameters::allocate(), too.
struct GatheredShards {
  Region region = Region::dense;
  Gathered what = Gathered::values;
  Shards bytes;
};
/// Those that hold something.
std::vector<GatheredShards> gathered_shards(const Parameters<float>& parameters, Region region,
                                            const Shards& shards);

/// Whether that rank saves the gate's bias and loads of a MoE layer, which all its ranks have alike.
bool saves_gate(const RankLayout& layout, const Model<float>& model, std::size_t moe_layer);

/// Where gradients of other ranks arrive, empty on one rank.
struct GradientBuffers {
  Vector<float> shared;
  Vector<float> early[2];  ///< of the early chunk's dense tensors and experts
};

/// Takes all memory of a rank from the arena, weights to workspace. This is the whole memory plan: with a counting
/// arena nothing is allocated, and neither MPI nor Kokkos needs to run.
GradientBuffers allocate_rank(Arena& arena, const RankLayout& layout, const ModelShards& shards,
                              Model<float>& model, Optimizer& optimizer, PipelineRuntime* runtime);

}  // namespace moray
