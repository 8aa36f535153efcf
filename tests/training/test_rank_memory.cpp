#include "catch.hpp"
#include "training/rank_memory.hpp"

namespace moray {
namespace {

Deck deck_of(std::int64_t experts, std::int64_t lanes, std::int64_t expert_lanes) {
  Deck deck;
  deck.batch.sequences = 8;
  deck.batch.length = 16;
  deck.model.moe.experts = experts;
  deck.parallel.lanes = lanes;
  deck.parallel.expert_lanes = expert_lanes;
  return deck;
}

RankLayout layout_of(const Deck& deck, std::int64_t ranks, std::int64_t index) {
  const MeshShape shape = mesh_shape(deck, ranks);
  return rank_layout(deck, shape, mesh_place(shape, index));
}

}  // namespace

TEST_CASE("lanes and micro-batch of a rank", "[trainer]") {
  const RankLayout layout = layout_of(deck_of(4, 8, 4), 2, 1);
  CHECK(layout.use.lanes == 4);
  CHECK(layout.use.expert_lanes == 2);
  CHECK(layout.use.sequences == 4);
  CHECK(layout.deals[0].rank == 1);
}

TEST_CASE("a model without experts runs on any number of ranks that its lanes allow", "[trainer]") {
  // No rule of the deck ties parallel.expert_lanes to the ranks here.
  for (const std::int64_t ranks : {1, 2, 4}) {
    CHECK(layout_of(deck_of(0, 4, 1), ranks, 0).use.expert_lanes >= 1);
  }
}

}  // namespace moray
