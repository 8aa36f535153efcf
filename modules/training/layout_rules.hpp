#pragma once

#include "config/section.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The rules that hold between sections: sizes of batch, ranks and lanes (docs/numerics.md, section
/// 3: "The batch" and "Experts of a token"), lengths, kernels.
void declare_layout_rules(Section& root, const Deck& deck);

/// The data ranks R of a deck: parallel.data, or run.ranks / parallel.pipeline.
std::int64_t data_ranks(const Deck& deck);

}  // namespace moray
