#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace moray {

/// How many ranks do what.
struct MeshShape {
  std::int64_t data = 1;    ///< ranks of a pipeline stage, each with a copy of its dense tensors
  std::int64_t expert = 1;  ///< data ranks over which a layer's experts are spread; divides them
  /// Nodes that the data ranks are on, each with the same number of consecutive ones; 0: as the
  /// machines are.
  std::int64_t nodes = 0;
  /// Ranks whose shares of a sum meet first are neighbours: `data` is a power of two.
  bool exact = true;
  std::int64_t pipeline = 1;  ///< P, stages of a pipeline
  /// Each stage is on the ranks of pipeline places p and P-1-p, once for each direction (DualPipe).
  bool mirrored = false;

  std::int64_t replicas() const { return data / expert; }
  std::int64_t ranks() const { return data * pipeline; }
  /// R: copies of the dense tensors of a stage.
  std::int64_t copies() const { return mirrored ? 2 * data : data; }
};

/// Where a rank is in the mesh (docs/numerics.md section 3).
struct MeshPlace {
  std::int64_t pipeline = 0;  ///< p
  /// j among the data ranks of p. For the direction d of a mirrored pipeline it is J = 2 j + d of R,
  /// else J = j: it reads the sequences g with g mod R = J.
  std::int64_t data = 0;
  std::int64_t share = 0;    ///< of the experts: [share E / expert, (share + 1) E / expert)
  std::int64_t replica = 0;  ///< c: its expert group is those of p with j mod (data / expert) = c
};

/// The place of the rank with this number in the order of nodes: the data ranks of the first stage,
/// then those of the next. Consecutive ranks are an expert group, so that tokens rarely leave a node,
/// and j is the number with its bits reversed, so that
/// the first and largest folds of gradients stay on a node too.
MeshPlace mesh_place(const MeshShape& shape, std::int64_t index);
/// The number of the rank with a place: mesh_place() backwards, from its pipeline and data ranks.
std::int64_t mesh_index(const MeshShape& shape, std::int64_t pipeline, std::int64_t data);
/// j of the rank of the same expert group that has a share.
std::int64_t group_member(const MeshShape& shape, const MeshPlace& place, std::int64_t share);

/// The number of this rank when ranks are counted node by node, that of the first rank of its node, and
/// the number of ranks of each node, 0 when nodes differ. Collective.
struct NodeOrder {
  std::int64_t index = 0;
  std::int64_t first = 0;
  std::int64_t node_ranks = 0;
};
NodeOrder node_order(const Communicator& world);
/// Ranks of a node within an expert group that spans several nodes of `node_ranks`; 0 when the group
/// lies in one node, or nodes are no nodes of the expert tree.
std::int64_t group_node_ranks(const MeshShape& shape, std::int64_t node_ranks);
/// Why that is 0, of nodes with `node_ranks` ranks each, 0 when they differ; empty when it is not.
std::string two_hop_problem(const MeshShape& shape, std::int64_t node_ranks);

/// The ranks of a job as a mesh, with a communicator along each direction.
class Mesh {
 public:
  /// Collective over `world`. The product of the shape is its size.
  Mesh(const Communicator& world, const MeshShape& shape);

  const MeshShape& shape() const { return shape_; }
  const MeshPlace& place() const { return place_; }
  /// All ranks of the job.
  const Communicator& world() const { return world_; }
  /// The stages of this data rank, in the order of p.
  const Communicator& pipeline() const { return pipeline_; }
  /// The data ranks of this pipeline place, in the order of j.
  const Communicator& data() const { return data_; }
  /// Ranks with the dense tensors of a chunk, in the order of J.
  const Communicator& copies(int chunk) const {
    return mirrors_.empty() ? data_ : mirrors_[at(chunk)];
  }
  /// Ranks with the experts of a chunk, in the order of J mod (R / expert).
  const Communicator& expert_copies(int chunk) const {
    return mirrors_.empty() ? replicas_ : expert_mirrors_[at(chunk)];
  }
  /// Ranks that share the experts of a layer, in the order of shares.
  const Communicator& expert_group() const { return expert_group_; }
  /// Ranks of a node in this expert group when it spans several equal nodes; else 0. Then across()
  /// are those of the group with the same place in their nodes, inside() those of the node.
  std::int64_t group_node_ranks() const { return group_node_ranks_; }
  const Communicator& across() const { return *across_; }
  const Communicator& inside() const { return *inside_; }
  /// Ranks of each node: where the shape says how many nodes, those of one pipeline place; 0 when nodes differ.
  std::int64_t node_ranks() const { return node_ranks_; }

 private:
  void make_mirrors();
  void set_nodes(Communicator& ranks) const;
  static std::size_t at(int chunk) { return static_cast<std::size_t>(chunk); }

  const Communicator& world_;
  MeshShape shape_;
  NodeOrder order_;
  MeshPlace place_;
  Communicator pipeline_, data_, expert_group_, replicas_;
  std::vector<Communicator> mirrors_, expert_mirrors_;  ///< of each direction
  std::int64_t node_ranks_ = 0, group_node_ranks_ = 0;
  std::optional<Communicator> across_, inside_;
};

}  // namespace moray
