#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "training/training_config.hpp"

namespace moray {

/// A layout of ranks as `moray verify` names it: letters with numbers, "p2d4e2n2b1:dualpipe:flat":
/// pipeline, data and expert ranks, nodes that the data ranks are said to be on, sequences of a
/// micro-batch, the schedule, and how tokens go.
struct NamedLayout {
  std::string name;
  std::int64_t pipeline = 1;
  std::int64_t data = 1;
  std::int64_t expert = 1;
  std::int64_t nodes = 0;  ///< 0: as the machines are
  std::int64_t micro = 0;  ///< 0: as in the deck
  std::string traffic = "auto";
  std::string schedule = "auto";

  std::int64_t ranks() const { return pipeline * data; }
  /// Keys that replace those of the deck.
  std::vector<std::string> overrides() const;
};

/// "d1, d2e2, d4e4n2". Throws Error(usage) naming the word that is not understood.
std::vector<NamedLayout> parse_layouts(const std::string& list);

/// What a comparison of a layout with the first one gave; on rank 0.
struct Verdict {
  bool equal = false;
  std::int64_t values = 0;  ///< float32 values compared: gradients and weights of every step
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
