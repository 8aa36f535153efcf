#pragma once

#include <array>
#include <string_view>

#include "comm/sent_bytes.hpp"

namespace moray {

/// What the ranks of a run send each other. Sums of losses and loads, some kilobytes a step whose
/// ways MPI chooses, are not among it.
enum class LinkKind {
  activations,        ///< between stages of a pipeline
  gradients,          ///< the same, backwards
  tokens,             ///< to experts of other ranks and back, forwards and backwards
  dense_sums,         ///< of gradients over the ranks with a tensor: the reduce-scatter of ZeRO
  expert_sums,        ///< the same of experts
  direction_sums,     ///< the last fold under DualPipe, of its two directions
  dense_weights,      ///< from their owners: the all-gather of ZeRO
  expert_weights,     ///< the same of experts
  direction_weights,  ///< between DualPipe's two copies
  embedding,          ///< its uses by MTP modules, and their copy of it
};
inline constexpr std::array<std::string_view, 10> kLinkNames = {
    "activations",    "gradients",     "tokens",         "dense_sums",        "expert_sums",
    "direction_sums", "dense_weights", "expert_weights", "direction_weights", "embedding"};

/// Bytes of one rank, by kind.
struct LinkBytes {
  std::array<SentBytes, kLinkNames.size()> kinds = {};

  SentBytes& operator[](LinkKind kind) { return kinds[static_cast<std::size_t>(kind)]; }
  const SentBytes& operator[](LinkKind kind) const { return kinds[static_cast<std::size_t>(kind)]; }
  SentBytes total() const {
    SentBytes sum;
    for (const SentBytes& bytes : kinds) sum += bytes;
    return sum;
  }
  LinkBytes& operator+=(const LinkBytes& other) {
    for (std::size_t i = 0; i < kinds.size(); ++i) kinds[i] += other.kinds[i];
    return *this;
  }
  friend LinkBytes operator-(LinkBytes a, const LinkBytes& b) {
    for (std::size_t i = 0; i < a.kinds.size(); ++i) a.kinds[i] -= b.kinds[i];
    return a;
  }
};

}  // namespace moray
