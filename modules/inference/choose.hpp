#pragma once

#include <cstdint>
#include <span>

namespace moray {

/// How the next token is chosen from its logits.
struct Sampling {
  double temperature = 0;  ///< 0: the highest logit, the lower index on ties
  std::uint64_t seed = 0;  ///< draws are counted by (seed, position), so that a prompt alone or
                           ///< beside others gives the same tokens
  std::int64_t top_k = 0;  ///< only so many of the most probable tokens; 0: all
  double top_p = 1;        ///< only the fewest that together have at least this probability
};

/// The token that (seed, position) draws: e = exp((logit - max) / temperature) in float32, added in
/// float64 in index order over the tokens that top_k and then top_p leave, ties to the lower index;
/// u uniform in [0, 1) from Philox; the first index whose sum exceeds u times the total.
std::int32_t choose_token(std::span<const float> logits, const Sampling& sampling,
                          std::int64_t position);

}  // namespace moray
