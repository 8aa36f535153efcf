#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/model.hpp"

namespace moray {

/// How the next token is chosen from its logits.
struct Sampling {
  double temperature = 0;  ///< 0: the highest logit, the lower index on ties
  std::uint64_t seed = 0;  ///< draws are counted by (seed, position), so a prompt alone or beside
                           ///< others gives the same tokens
};

/// The token that (seed, position) draws: p = softmax(logits / temperature) in float32, added in
/// float64 in index order; u uniform in [0, 1) from Philox; the first index whose sum exceeds u.
std::int32_t choose_token(std::span<const float> logits, const Sampling& sampling,
                          std::int64_t position);

/// Appends `count` tokens to `tokens` (at least one), calling `emit` with each. Any allocated model
/// serves, also one in training between two steps: the context, its last S tokens, runs through the
/// forward as the first sequence of a micro-batch.
void generate(Model<float>& model, Pass<float>& pass, const Sampling& sampling, std::int64_t count,
              std::vector<std::int32_t>& tokens, const std::function<void(std::int32_t)>& emit);

}  // namespace moray
