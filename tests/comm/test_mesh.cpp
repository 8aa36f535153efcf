// The ranks of a pipeline as a mesh, on as many as the test is started on.
#include "comm/mesh.hpp"

#include <set>

#include "catch.hpp"
#include "mpi_world.hpp"

using namespace moray;
using moray::test::world;

namespace {

/// The values of the ranks of a communicator, in their order.
std::vector<std::int64_t> of_all(const Communicator& ranks, std::int64_t mine) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(ranks.size()));
  values[static_cast<std::size_t>(ranks.rank())] = mine;
  ranks.sum(values);
  return values;
}

/// first, first + step, ...
std::vector<std::int64_t> sequence(std::int64_t count, std::int64_t first, std::int64_t step) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(first + i * step);
  return values;
}

std::vector<MeshShape> shapes(std::int64_t ranks) {
  std::vector<MeshShape> all;
  for (std::int64_t pipeline = 1; pipeline <= ranks; pipeline *= 2) {
    const std::int64_t data = ranks / pipeline;
    for (std::int64_t expert = 1; expert <= data; expert *= 2) {
      for (const bool mirrored : {false, true}) {
        if (mirrored && pipeline == 1) continue;
        all.push_back({.data = data, .expert = expert, .pipeline = pipeline, .mirrored = mirrored});
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("every rank has one place, and stages follow each other", "[mesh]") {
  for (const MeshShape& shape : shapes(16)) {
    CAPTURE(shape.pipeline, shape.data, shape.expert, shape.mirrored);
    std::set<std::pair<std::int64_t, std::int64_t>> places;
    for (std::int64_t index = 0; index < shape.ranks(); ++index) {
      const MeshPlace place = mesh_place(shape, index);
      // A stage's data ranks are consecutive, and laid out as those of a mesh of one stage.
      CHECK(place.pipeline == index / shape.data);
      const MeshPlace first = mesh_place(shape, index % shape.data);
      CHECK(place.data == first.data);
      CHECK(place.share == first.share);
      CHECK(place.replica == place.data % shape.replicas());
      CHECK(group_member(shape, place, place.share) == place.data);
      CHECK(mesh_index(shape, place.pipeline, place.data) == index);
      MeshShape any = shape;
      any.exact = false;
      const MeshPlace inexact = mesh_place(any, index);
      CHECK(mesh_index(any, inexact.pipeline, inexact.data) == index);
      places.emplace(place.pipeline, place.data);
    }
    CHECK(static_cast<std::int64_t>(places.size()) == shape.ranks());
    CHECK(shape.copies() == (shape.mirrored ? 2 : 1) * shape.data);
  }
}

TEST_CASE("the communicators of a mesh have the ranks that they should, in order", "[mesh][mpi]") {
  for (const MeshShape& shape : shapes(world().size())) {
    CAPTURE(shape.pipeline, shape.data, shape.expert, shape.mirrored);
    const Mesh mesh(world(), shape);
    const MeshPlace& place = mesh.place();
    CHECK(of_all(mesh.pipeline(), place.pipeline) == sequence(shape.pipeline, 0, 1));
    CHECK(of_all(mesh.pipeline(), place.data) == sequence(shape.pipeline, place.data, 0));
    CHECK(of_all(mesh.data(), place.data) == sequence(shape.data, 0, 1));
    CHECK(of_all(mesh.data(), place.pipeline) == sequence(shape.data, place.pipeline, 0));
    CHECK(of_all(mesh.expert_group(), place.share) == sequence(shape.expert, 0, 1));
    CHECK(of_all(mesh.expert_group(), place.replica) == sequence(shape.expert, place.replica, 0));
    CHECK(of_all(mesh.expert_group(), place.pipeline) == sequence(shape.expert, place.pipeline, 0));
  }
}

TEST_CASE("the copies of a stage are in the order of J, those of its experts of J mod R / expert",
          "[mesh][mpi]") {
  for (const MeshShape& shape : shapes(world().size())) {
    CAPTURE(shape.pipeline, shape.data, shape.expert, shape.mirrored);
    const Mesh mesh(world(), shape);
    const MeshPlace& place = mesh.place();
    const std::int64_t directions = shape.mirrored ? 2 : 1;
    const std::int64_t copies = shape.copies(), replicas = copies / shape.expert;
    // Under DualPipe a rank has two chunks. Ranks that meet take them in the order of stages.
    for (std::int64_t stage = 0; stage < shape.pipeline; ++stage) {
      for (std::int64_t chunk = 0; chunk < directions; ++chunk) {
        if (stage != (chunk == 0 ? place.pipeline : shape.pipeline - 1 - place.pipeline)) continue;
        const Communicator& dense = mesh.copies(static_cast<int>(chunk));
        CHECK(of_all(dense, stage) == sequence(copies, stage, 0));
        CHECK(of_all(dense, directions * place.data + chunk) == sequence(copies, 0, 1));
        const Communicator& expert = mesh.expert_copies(static_cast<int>(chunk));
        CHECK(of_all(expert, stage) == sequence(replicas, stage, 0));
        CHECK(of_all(expert, place.share) == sequence(replicas, place.share, 0));
        CHECK(of_all(expert, (directions * place.data + chunk) % replicas) ==
              sequence(replicas, 0, 1));
      }
    }
  }
}

TEST_CASE("what is sent is counted by whether it leaves the node", "[mesh][mpi]") {
  for (MeshShape shape : shapes(world().size())) {
    for (shape.nodes = 0; shape.nodes <= shape.data;
         shape.nodes += std::max<std::int64_t>(shape.nodes, 1)) {
      CAPTURE(shape.pipeline, shape.data, shape.expert, shape.mirrored, shape.nodes);
      const Mesh mesh(world(), shape);
      // Without MPI's help: ranks of a test are on one machine, in the order of its numbers.
      const std::int64_t in_node = shape.nodes > 0 ? shape.data / shape.nodes : shape.ranks();
      const std::int64_t node = world().rank() / in_node;
      const auto check = [&](const Communicator& ranks) {
        std::int64_t inside = 0;
        for (const std::int64_t other : of_all(ranks, node)) inside += other == node ? 4 : 0;
        const std::vector<std::int32_t> out(static_cast<std::size_t>(ranks.size()));
        std::vector<std::int32_t> in = out;
        CHECK(ranks.sent() == SentBytes{});
        ranks.all_to_all(out, in, 1);
        CHECK(ranks.sent() == SentBytes{inside - 4, 4 * ranks.size() - inside});
      };
      for (const Communicator* ranks : {&mesh.pipeline(), &mesh.data(), &mesh.expert_group()})
        check(*ranks);
      // Ranks that meet take their chunks in the order of stages.
      for (std::int64_t stage = 0; shape.mirrored && stage < shape.pipeline; ++stage) {
        for (const int chunk : {0, 1}) {
          if (stage !=
              (chunk == 0 ? mesh.place().pipeline : shape.pipeline - 1 - mesh.place().pipeline))
            continue;
          check(mesh.copies(chunk));
          check(mesh.expert_copies(chunk));
        }
      }
    }
  }
}

TEST_CASE("texts of any length go from every rank to every rank", "[mesh][mpi]") {
  const auto text = [](int from, int to) {
    return std::to_string(from) + " to " + std::to_string(to) +
           std::string(static_cast<std::size_t>(from * 1000 + to), 'x');
  };
  const int me = world().rank();
  std::vector<std::string> out, expected;
  for (int rank = 0; rank < world().size(); ++rank) {
    out.push_back(rank == 0 ? "" : text(me, rank));  // to one of them nothing
    expected.push_back(me == 0 ? "" : text(rank, me));
  }
  CHECK(world().all_to_all(out) == expected);
}

TEST_CASE("nodes divide an expert group within a stage", "[mesh][mpi]") {
  const std::int64_t ranks = world().size();
  if (ranks < 4) return;
  // Two stages of half of the ranks, each on two nodes.
  const MeshShape shape{
      .data = ranks / 2, .expert = ranks / 2, .nodes = 2, .pipeline = 2, .mirrored = true};
  const Mesh mesh(world(), shape);
  const std::int64_t in_node = shape.data / 2;
  REQUIRE(mesh.group_node_ranks() == in_node);
  const std::int64_t share = mesh.place().share;
  CHECK(of_all(mesh.inside(), share) == sequence(in_node, share / in_node * in_node, 1));
  CHECK(of_all(mesh.across(), share) == sequence(2, share % in_node, in_node));
  CHECK(of_all(mesh.inside(), mesh.place().pipeline) ==
        sequence(in_node, mesh.place().pipeline, 0));
}

TEST_CASE("why tokens have no second hop", "[mesh]") {
  const auto problem = [](std::int64_t expert, std::int64_t node_ranks) {
    return two_hop_problem({.data = 8, .expert = expert}, node_ranks);
  };
  CHECK(problem(4, 2).empty());
  CHECK(problem(8, 1).empty());
  CHECK(problem(1, 4) == "an expert group is one rank");
  CHECK(problem(4, 0) == "nodes have unequal numbers of ranks");
  CHECK(problem(4, 4) == "the 4 ranks of an expert group are on one node");
  CHECK(problem(2, 8) == "the 2 ranks of an expert group are on one node");
  CHECK(problem(4, 3) == "a node has 3 ranks and an expert group 4");
}
