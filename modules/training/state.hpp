#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/collective.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/checkpoint_writer.hpp"
#include "model/model.hpp"
#include "optimizer/optimizer.hpp"

namespace moray {

/// Elements [offset, offset + count) of a dataset and where they live on this rank.
struct StatePiece {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  void* data = nullptr;  ///< in the memory of the backend, or of the host
};

/// A dataset of a checkpoint, the same on every rank, and what this rank has of it. The experts of a
/// layer are stacked on the first axis, each a part.
struct StateTensor {
  DatasetSpec spec;
  std::vector<StatePiece> pieces;
  bool on_host = false;  ///< loads
};

/// "model.layers.3.mlp.experts.7.up_proj.weight" -> "model/layers/3/mlp/experts/up_proj/weight".
std::string dataset_name(const std::string& parameter);

/// Chooses among the MoE layers of a model by their number.
using GateChoice = std::function<bool(std::size_t moe_layer)>;

/// What a model is: weights, selection biases, and the loads of the last step; all that this rank
/// holds.
std::vector<StateTensor> model_state(Model<float>& model);
/// What an optimizer adds: moments, and the moving average of the weights; what this rank owns.
std::vector<StateTensor> optimizer_state(const Model<float>& model, const Optimizer& optimizer);
/// Both, every element on the one rank that owns it. Biases and loads, which all ranks have, are
/// those of the gates that `saves_gate`.
std::vector<StateTensor> owned_state(Model<float>& model, const Optimizer& optimizer,
                                     const GateChoice& saves_gate);

/// Bytes of all pieces of owned_state; a counting arena's model will do.
std::int64_t owned_bytes(const Model<float>& model, const Optimizer& optimizer,
                         const GateChoice& saves_gate);

/// Copies a piece of `tensor` into host memory.
void copy_piece(const StateTensor& tensor, const StatePiece& piece, void* host);

/// Writes the owned state of all ranks. Returns the path.
std::string save_state(Collective& ranks, const std::string& folder, const std::string& run,
                       const std::vector<StateTensor>& tensors, CheckpointContent content,
                       OpenOutput open = posix_output);

/// Throws Error(io) when a dataset is missing or has another shape or dtype; reads no value.
void require_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors);

/// Reads this rank's pieces. Throws when a dataset is missing, has another shape or dtype, or is
/// damaged.
void load_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors);

}  // namespace moray
