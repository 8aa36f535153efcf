#pragma once

#include <string>
#include <vector>

#include "core/collective.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/checkpoint_writer.hpp"
#include "model/model.hpp"
#include "optimizer/optimizer.hpp"

namespace moray {

/// A dataset of a checkpoint and where its parts live in memory: one part for a tensor, E for the
/// experts of a layer, which are stacked on the first axis.
struct StateTensor {
  DatasetSpec spec;
  std::vector<void*> parts;  ///< in the memory of the backend, or of the host
  std::int64_t part_elements = 0;
  bool on_host = false;  ///< loads
};

/// "model.layers.3.mlp.experts.7.up_proj.weight" -> "model/layers/3/mlp/experts/up_proj/weight".
std::string dataset_name(const std::string& parameter);

/// What a model is: weights, selection biases, and the loads of the last step.
std::vector<StateTensor> model_state(Model<float>& model);
/// What an optimizer adds: moments, and the moving average of the weights.
std::vector<StateTensor> optimizer_state(const Model<float>& model, const Optimizer& optimizer);

/// Writes tensors, each block by one of the ranks, all of which hold them. Returns the path.
std::string save_state(Collective& ranks, const std::string& folder, const std::string& run,
                       const std::vector<StateTensor>& tensors, CheckpointContent content);

/// Reads tensors; every rank reads all of each. Throws when a dataset is missing, has another shape
/// or dtype, or is damaged.
void load_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors);

}  // namespace moray
