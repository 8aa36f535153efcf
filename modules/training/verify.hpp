#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "training/named_layout.hpp"
#include "training/training_config.hpp"

namespace moray {

/// What a comparison of a layout with the first one gave; on rank 0.
struct Verdict {
  bool equal = false;
  /// Compared: gradients, weights, and what products in low precision read of these, of every step.
  std::int64_t values = 0;
  std::string
      difference;  ///< the first one: step, tensor, element, both values; and the loss, if it differs
};

/// Trains `decks[0]`, then each other, for `steps` steps from the seed, on the first
/// layouts[i].ranks() of `world`, and compares losses, loads, every gradient and all copies of routing
/// biases and weights bit by bit after each step. Collective over `world`, whose ranks share the
/// comparison of block digests; only a block that differs is looked at, by running both layouts again.
std::vector<Verdict> verify_layouts(const std::vector<NamedLayout>& layouts,
                                    const std::vector<Deck>& decks, const std::string& folder,
                                    std::int64_t steps, const Communicator& world);

}  // namespace moray
