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

struct Fp8Saving;

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
  /// Where values are made of others when they are saved: writes those of a piece into host memory;
  /// the piece's `data` is what they are made of.
  std::function<void(const StatePiece&, void* host)> make;
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
/// those of the gates that `saves_gate`. FP8 forms of weights as `fp8` says (fp8_state.hpp).
std::vector<StateTensor> owned_state(Model<float>& model, const Optimizer& optimizer,
                                     const GateChoice& saves_gate, const Fp8Saving& fp8);

/// Bytes of all pieces of owned_state; a counting arena's model will do.
std::int64_t owned_bytes(const Model<float>& model, const Optimizer& optimizer,
                         const GateChoice& saves_gate, const Fp8Saving& fp8);

/// Copies a piece of `tensor` into host memory, or makes it there.
void copy_piece(const StateTensor& tensor, const StatePiece& piece, void* host);

/// Writes the owned state of all ranks. Returns the path.
std::string save_state(Collective& ranks, const std::string& folder, const std::string& run,
                       const std::vector<StateTensor>& tensors, CheckpointContent content,
                       OpenOutput open = posix_output);

/// How a weight that a checkpoint has in FP8 alone is taken: `read` as its value then, or `refuse`d,
/// where a run shall go on with the same bits.
enum class Fp8Alone { read, refuse };

/// Throws Error(io) when a dataset is missing or has another shape or dtype, or codes and scales of a
/// weight do not fit it; reads no value.
void require_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors,
                   Fp8Alone fp8_alone);

/// Reads this rank's pieces, weights that are there in FP8 alone from that. Throws when a dataset is
/// missing, has another shape or dtype, or is damaged.
void load_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors);

}  // namespace moray
