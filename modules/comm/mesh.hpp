#pragma once

#include <cstdint>
#include <optional>

#include "comm/communicator.hpp"

namespace moray {

/// How many ranks do what.
struct MeshShape {
  std::int64_t data = 1;    ///< R: ranks with a copy of the dense tensors
  std::int64_t expert = 1;  ///< data ranks over which a layer's experts are spread; divides R
  /// Nodes, each of the same number of consecutive ranks; 0: as the machines are.
  std::int64_t nodes = 0;
  /// Ranks whose shares of a sum meet first are neighbours: R is a power of two.
  bool exact = true;

  std::int64_t replicas() const { return data / expert; }
};

/// Where a rank is in the mesh (docs/numerics.md section 3).
struct MeshPlace {
  std::int64_t data = 0;     ///< J: it reads the sequences g with g mod R = J
  std::int64_t share = 0;    ///< of the experts: [share E / expert, (share + 1) E / expert)
  std::int64_t replica = 0;  ///< c: its expert group is the ranks with J mod (R / expert) = c
};

/// The place of the rank with this number in the order of nodes. Consecutive ranks are an expert
/// group, so that tokens rarely leave a node, and J is the number with its bits reversed, so that
/// the first and largest folds of gradients stay on a node too.
MeshPlace mesh_place(const MeshShape& shape, std::int64_t index);
/// J of the rank of the same expert group that has a share.
std::int64_t group_member(const MeshShape& shape, const MeshPlace& place, std::int64_t share);

/// The number of this rank when ranks are counted node by node, and the number of ranks of each node,
/// 0 when nodes differ. Collective.
struct NodeOrder {
  std::int64_t index = 0;
  std::int64_t node_ranks = 0;
};
NodeOrder node_order(const Communicator& world);
/// Ranks of a node within an expert group that spans several nodes of `node_ranks`; 0 when the group
/// lies in one node, or nodes are no nodes of the expert tree.
std::int64_t group_node_ranks(const MeshShape& shape, std::int64_t node_ranks);

/// The ranks of a job as a mesh, with a communicator along each direction.
class Mesh {
 public:
  /// Collective over `world`. The product of the shape is its size.
  Mesh(const Communicator& world, const MeshShape& shape);

  const MeshShape& shape() const { return shape_; }
  const MeshPlace& place() const { return place_; }
  /// All ranks of the job.
  const Communicator& world() const { return world_; }
  /// Ranks with the same dense tensors, in the order of J.
  const Communicator& data() const { return data_; }
  /// Ranks that share the experts of a layer, in the order of shares.
  const Communicator& expert_group() const { return expert_group_; }
  /// Ranks of a node in this expert group when it spans several equal nodes; else 0. Then across()
  /// are those of the group with the same place in their nodes, inside() those of the node.
  std::int64_t group_node_ranks() const { return group_node_ranks_; }
  const Communicator& across() const { return *across_; }
  const Communicator& inside() const { return *inside_; }
  /// Ranks with the same experts, in the order of c.
  const Communicator& replicas() const { return replicas_; }

 private:
  const Communicator& world_;
  MeshShape shape_;
  NodeOrder order_;
  MeshPlace place_;
  Communicator data_, expert_group_, replicas_;
  std::int64_t group_node_ranks_ = 0;
  std::optional<Communicator> across_, inside_;
};

}  // namespace moray
