#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "moe/expert_share.hpp"
#include "moe/moe_config.hpp"

namespace moray {

/// Bytes that one copy of a token of `width` float32 channels, with up to `choices` experts where it goes, costs in a
/// layer of a training step: from the rank that sends it, and from the one that it goes to.
struct CopyBytes {
  std::int64_t dispatch = 0;  ///< of `out`, what crosses in the forward
  std::int64_t out = 0;
  std::int64_t back = 0;
};
constexpr CopyBytes copy_bytes(std::int64_t width, std::int64_t choices) {
  const std::int64_t row = 4 * width;
  // Forward: the row with expert and weight of each choice, and the sum back. Backward: the gradient of the
  // sum, and that of the row back with those of the weights.
  const std::int64_t dispatch = row + 8 * choices;
  return {dispatch, dispatch + row, row + row + 4 * choices};
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
TokenBytes token_bytes(const ExpertShare& share, const MoeConfig& moe, std::int64_t width,
                       std::int64_t sequences, std::int64_t exchanges, const TokenFlow& flow);

}  // namespace moray
