#pragma once

#include <string>

#include "comm/communicator.hpp"
#include "golden/record.hpp"
#include "training/deck.hpp"

namespace moray::golden {

/// Trains a deck with keyed text from its seed to its length, without files, and records its bits:
/// of step 1 what README.md lists, of every step the losses, the norm, k, loads and
/// biases, and a digest of each weight tensor. The record of rank 0 is the run's; those of others
/// are empty. Called by all ranks.
Record run(const Deck& deck, const Communicator& ranks);

}  // namespace moray::golden
