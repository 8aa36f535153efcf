#pragma once

#include <cstdint>
#include <string>

#include "config/amount.hpp"

namespace moray {

class Section;

/// Deck section `moe`. Absent experts (experts = 0) make every layer dense.
struct MoeConfig {
  std::int64_t experts = 0;  ///< E, routed
  std::int64_t top_k = 0;    ///< K
  std::int64_t shared_experts = 0;
  std::int64_t width = 0;  ///< F of one expert; the shared ones are one FFN of n times that
  std::int64_t groups = 1;
  std::int64_t top_groups = 1;
  std::string gate = "sigmoid";   ///< sigmoid | softmax
  bool normalize = true;          ///< sigmoid only
  double scale = 1.0;             ///< routed scaling factor
  double bias_rate = 0.001;       ///< gamma; 0 for a softmax gate
  Amount bias_until{0};           ///< gamma is 0 from here on; 0: never
  double sequence_loss = 0.0001;  ///< alpha of the complementary balance loss
  friend bool operator==(const MoeConfig&, const MoeConfig&) = default;
};
void declare(Section& section, MoeConfig& config);

}  // namespace moray
