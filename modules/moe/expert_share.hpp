#pragma once

#include <cstdint>

#include "comm/communicator.hpp"

namespace moray {

/// Which of a layer's experts this rank has, [share E / shares, (share + 1) E / shares), and how
/// tokens get to the ranks that have the others.
struct ExpertShare {
  std::int64_t shares = 1;
  std::int64_t share = 0;
  double headroom = 1.5;  ///< rows to receive, times their mean, that are planned for
  /// Ranks of each of the nodes that the group spans; 0: it lies in one node.
  std::int64_t node_ranks = 0;
  /// A token crosses to a node once, to the rank with the same place in it, which hands it on inside;
  /// else it goes to each rank in one hop.
  bool two_hops = false;

  // The ways, none for a plan.
  const Communicator* group = nullptr;   ///< all shares in their order
  const Communicator* across = nullptr;  ///< two hops: the ranks with this place, by node
  const Communicator* inside = nullptr;  ///< two hops: the ranks of this node, by place

  bool whole() const { return shares == 1; }
  std::int64_t node_of(std::int64_t other) const { return node_ranks > 0 ? other / node_ranks : 0; }
  std::int64_t count(std::int64_t experts) const { return experts / shares; }
  std::int64_t first(std::int64_t experts) const { return share * count(experts); }
};

}  // namespace moray
