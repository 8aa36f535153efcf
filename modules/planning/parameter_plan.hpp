#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.hpp"

namespace moray {

/// Parameters of one kind of module, over all layers.
struct ModuleParameters {
  std::string name;
  std::int64_t total = 0;
  /// Those that a token meets: top_k of the experts, and none of the embedding, which is a lookup.
  /// This is how the published numbers count ("37B active": the head in, the embedding out).
  std::int64_t active = 0;
};

/// What a model's tensors add up to. Selection biases are counted with the gates.
struct ParameterPlan {
  std::vector<ModuleParameters> modules;  ///< of the trunk, in the order of a forward
  std::int64_t total = 0;                 ///< of the trunk
  std::int64_t active = 0;
  std::int64_t mtp = 0;  ///< unique to the MTP modules: embedding and head are the trunk's
};

/// Sums over the tensors that `model` declares, by their names.
ParameterPlan count_parameters(const Model<float>& model);

}  // namespace moray
