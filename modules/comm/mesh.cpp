#include "comm/mesh.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"

namespace moray {
namespace {

/// The low bits of x that count to `size`, a power of two, in reverse.
std::int64_t reversed(std::int64_t x, std::int64_t size) {
  std::int64_t result = 0;
  for (std::int64_t bit = 1; bit < size; bit *= 2) result = 2 * result + ((x & bit) != 0 ? 1 : 0);
  return result;
}

int as_int(std::int64_t x) {
  return static_cast<int>(x);
}

}  // namespace

MeshPlace mesh_place(const MeshShape& shape, std::int64_t index) {
  MORAY_REQUIRE(index >= 0 && index < shape.ranks() && shape.data % shape.expert == 0);
  MeshPlace place;
  place.pipeline = index / shape.data;
  index %= shape.data;
  place.share = index % shape.expert;
  if (shape.exact) {
    MORAY_REQUIRE(std::has_single_bit(static_cast<std::uint64_t>(shape.data)));
    place.data = reversed(index, shape.data);
  } else {
    place.data = index / shape.expert + place.share * shape.replicas();
  }
  place.replica = place.data % shape.replicas();
  return place;
}

std::int64_t mesh_index(const MeshShape& shape, std::int64_t pipeline, std::int64_t data) {
  const std::int64_t replicas = shape.replicas();
  const std::int64_t index =
      shape.exact ? reversed(data, shape.data) : data % replicas * shape.expert + data / replicas;
  return pipeline * shape.data + index;
}

std::int64_t group_member(const MeshShape& shape, const MeshPlace& place, std::int64_t share) {
  const std::int64_t q = shape.exact ? reversed(share, shape.expert) : share;
  return place.replica + q * shape.replicas();
}

Mesh::Mesh(const Communicator& world, const MeshShape& shape)
    : world_(world),
      shape_(shape),
      order_(node_order(world)),
      place_(mesh_place(shape, order_.index)),
      pipeline_(world.split(as_int(place_.data), as_int(place_.pipeline))),
      data_(world.split(as_int(place_.pipeline), as_int(place_.data))),
      expert_group_(data_.split(as_int(place_.replica), as_int(place_.share))),
      replicas_(data_.split(as_int(place_.share), as_int(place_.replica))) {
  MORAY_REQUIRE(shape.ranks() == world.size() && data_.rank() == place_.data &&
                pipeline_.rank() == place_.pipeline && expert_group_.size() == shape.expert &&
                replicas_.size() == shape.replicas());
  for (Communicator* ranks : {&pipeline_, &data_, &expert_group_, &replicas_}) set_nodes(*ranks);
  if (shape.mirrored) make_mirrors();
  node_ranks_ = shape.nodes > 0 ? shape.data / shape.nodes : order_.node_ranks;
  group_node_ranks_ = moray::group_node_ranks(shape, node_ranks_);
  if (group_node_ranks_ == 0) return;
  const int node = as_int(place_.share / group_node_ranks_);
  const int in_node = as_int(place_.share % group_node_ranks_);
  across_ = expert_group_.split(in_node, node);
  inside_ = expert_group_.split(node, in_node);
  for (Communicator* ranks : {&*across_, &*inside_}) set_nodes(*ranks);
}

/// Tells a communicator which of its ranks are on this node, said or real. Collective over it.
void Mesh::set_nodes(Communicator& ranks) const {
  const std::int64_t said = shape_.nodes > 0 ? shape_.data / shape_.nodes : 0;
  const auto node = static_cast<std::int32_t>(said > 0 ? order_.index / said * said : order_.first);
  const auto size = static_cast<std::size_t>(ranks.size());
  const std::vector<std::int32_t> mine(size, node);
  std::vector<std::int32_t> theirs(size);
  ranks.all_to_all(mine, theirs, 1);
  std::vector<char> here;
  for (const std::int32_t other : theirs) here.push_back(other == node ? 1 : 0);
  ranks.set_nodes(std::move(here));
}

/// Stages s and P-1-s are on the same ranks, of pipeline places s and P-1-s, in two orders: a rank's
/// first chunk is of direction 0, with J = 2 j, its second one of direction 1.
void Mesh::make_mirrors() {
  const bool lower = place_.pipeline < shape_.pipeline / 2;
  const std::int64_t pair = std::min(place_.pipeline, shape_.pipeline - 1 - place_.pipeline);
  for (const bool lower_stage : {true, false}) {
    const int direction = lower == lower_stage ? 0 : 1;
    mirrors_.push_back(world_.split(as_int(pair), as_int(2 * place_.data) + direction));
    expert_mirrors_.push_back(world_.split(as_int(pair * shape_.expert + place_.share),
                                           as_int(2 * place_.replica) + direction));
    MORAY_REQUIRE(mirrors_.back().rank() == 2 * place_.data + direction);
    set_nodes(mirrors_.back());
    set_nodes(expert_mirrors_.back());
  }
  if (lower) return;
  std::swap(mirrors_[0], mirrors_[1]);
  std::swap(expert_mirrors_[0], expert_mirrors_[1]);
}

std::int64_t group_node_ranks(const MeshShape& shape, std::int64_t node_ranks) {
  if (node_ranks <= 0 || node_ranks >= shape.expert) return 0;
  return std::has_single_bit(static_cast<std::uint64_t>(node_ranks)) &&
                 shape.expert % node_ranks == 0
             ? node_ranks
             : 0;
}

std::string two_hop_problem(const MeshShape& shape, std::int64_t node_ranks) {
  if (group_node_ranks(shape, node_ranks) > 0) return {};
  if (shape.expert == 1) return "an expert group is one rank";
  if (node_ranks == 0) return "nodes have unequal numbers of ranks";
  if (node_ranks % shape.expert == 0)
    return fmt::format("the {} ranks of an expert group are on one node", shape.expert);
  return fmt::format("a node has {} ranks and an expert group {}", node_ranks, shape.expert);
}

NodeOrder node_order(const Communicator& world) {
  const Communicator node = world.node();
  // The first ranks of the nodes add up the sizes of the nodes before theirs.
  std::int64_t before = 0;
  const Communicator leaders = world.split(node.rank() == 0 ? 0 : 1, world.rank());
  if (node.rank() == 0) {
    const std::int64_t size = node.size();
    check_mpi(MPI_Exscan(&size, &before, 1, MPI_INT64_T, MPI_SUM, leaders.raw()), "MPI_Exscan",
              "sizes of nodes");
    if (leaders.rank() == 0) before = 0;  // MPI leaves it undefined
  }
  node.broadcast(std::span(reinterpret_cast<char*>(&before), sizeof before), 0);
  std::int64_t sizes[2] = {node.size(), -node.size()};
  world.maximum(sizes);
  return {before + node.rank(), before, sizes[0] == -sizes[1] ? node.size() : 0};
}

}  // namespace moray
