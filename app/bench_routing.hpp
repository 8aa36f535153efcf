#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/collective.hpp"
#include "training/training_config.hpp"

namespace moray {

/// What the first MoE layer of a model chose for tokens of its data.
struct RecordedRouting {
  std::string gate;  ///< "model.layers.3.mlp.gate"
  std::int64_t experts = 0;
  std::int64_t choices = 0;            ///< of a token
  std::vector<std::int32_t> selected;  ///< (tokens, choices) in increasing expert index
};

/// Runs the model of a deck forward over `tokens` consecutive tokens of the deck's data, of each rank
/// others, and records the routing. Weights and selection bias are those of `init.from`, else fresh ones.
/// `folder` is that of the deck. Called by all ranks, each of which has the whole model. Throws
/// Error(usage) for a model without experts, and what data and checkpoints throw.
RecordedRouting record_routing(const Deck& deck, const std::string& folder, Collective& ranks,
                               std::int64_t tokens);

}  // namespace moray
