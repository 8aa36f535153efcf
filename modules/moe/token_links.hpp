#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model_config.hpp"
#include "moe/expert_share.hpp"

namespace moray {

/// Bytes of one token in a layer: of the rows that are dispatched, forward and backward, and of the sums that come
/// back for them. Where the layers of a model compute differently (overrides), the mean over them.
struct TokenRowBytes {
  double dispatch = 0;       ///< x to the experts
  double combine = 0;        ///< their sum
  double dispatch_back = 0;  ///< gradient of the sum
  double combine_back = 0;   ///< sum of the gradients of x
};
TokenRowBytes token_row_bytes(const ModelConfig& model);

/// Bytes that one copy of a token, with up to `choices` experts where it goes, costs in a layer of a training step: from
/// the rank that sends it, and from the one that it goes to.
struct CopyBytes {
  double dispatch = 0;  ///< of `out`, what crosses in the forward
  double out = 0;
  double back = 0;
};
constexpr CopyBytes copy_bytes(const TokenRowBytes& row, std::int64_t choices) {
  // With x go expert and weight of each choice, with the gradients of x those of the weights.
  const auto chosen = static_cast<double>(choices);
  const double dispatch = row.dispatch + 8 * chosen;
  return {dispatch, dispatch + row.dispatch_back, row.combine + row.combine_back + 4 * chosen};
}

/// Copies of tokens that one rank of an expert group sends to others and gets from them, on its node and across
/// nodes. Exact integers where they were counted; means where experts are taken to be even.
struct TokenFlow {
  double inside_out = 0, inside_in = 0;
  double across_out = 0, across_in = 0;

  TokenFlow& operator+=(const TokenFlow& other) {
    inside_out += other.inside_out;
    inside_in += other.inside_in;
    across_out += other.across_out;
    across_in += other.across_in;
    return *this;
  }
};

/// Adds to the flows of a group (shares) what the selection (T, K), increasing, of the rank `group.share` causes:
/// also at the ranks that hand tokens on (two hops).
void add_flows(const ExpertShare& group, std::int64_t experts, std::int64_t top_k,
               std::span<const std::int32_t> selected, std::span<TokenFlow> flows);

/// The mean flows (shares) of one token from each rank of a group, when any top_groups groups are as likely to be
/// chosen, and then any K experts of theirs.
std::vector<TokenFlow> even_flows(const ExpertShare& group, const MoeConfig& moe);
/// The probability of that that a token has an expert in [first, end).
double chance_of_any(const MoeConfig& moe, std::int64_t first, std::int64_t end);

/// Bytes that a rank sends inside its node and across nodes: for its flow, and for the counts of `exchanges`
/// dispatches of micro-batches of `sequences`, which go first.
struct TokenBytes {
  double inside = 0, across = 0;
};
TokenBytes token_bytes(const ExpertShare& share, const ModelConfig& model, std::int64_t sequences,
                       std::int64_t exchanges, const TokenFlow& flow);

}  // namespace moray
