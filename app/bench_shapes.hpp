#pragma once

#include <string>
#include <vector>

#include "training/training_config.hpp"

namespace moray {

/// One Linear of a model: y (rows, out) = x (rows, in) wᵀ. Routed experts are one Linear of several
/// groups, each with weights and rows of its own.
struct LinearShape {
  std::string name;
  std::int64_t out = 0;
  std::int64_t in = 0;
  std::vector<std::int64_t> rows;  ///< of each group; one for dense weights
};

/// Every Linear of a deck's model, one of a kind, for the tokens of a step. The rows of the experts are
/// uneven, as a gate leaves them: from half to one and a half times the mean.
std::vector<LinearShape> linear_shapes(const Deck& deck);

}  // namespace moray
