// The routing that `moray bench alltoall` takes from a model is that of the model's training.
#include "bench_routing.hpp"

#include "catch.hpp"
#include "core/error.hpp"
#include "data/data.hpp"
#include "mpi_world.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"
#include "training/deck.hpp"
#include "training/state.hpp"
#include "training/trainer.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

Deck tiny(const std::vector<std::string>& overrides = {}) {
  return read_deck(std::string(MORAY_INPUT_FOLDER) + "/tiny.yaml", overrides);
}

std::vector<std::int64_t> counts(const RecordedRouting& routing) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(routing.experts));
  for (const std::int32_t expert : routing.selected) ++counts[static_cast<std::size_t>(expert)];
  return counts;
}

/// Loads of the first MoE layer in the first step of a run.
std::vector<std::int64_t> loads_of_a_step(const Deck& deck) {
  Trainer trainer(deck, moray::test::world());
  Arena plan, arena;
  trainer.allocate(plan);
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  TrainingData data(deck.data,
                    {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, "."});
  const StepReport report = trainer.step(
      0, [&](std::uint64_t g, std::span<std::int32_t> tokens) { data.sample(g, tokens); });
  return report.loads.at(0);
}

}  // namespace

TEST_CASE("a recorded routing is that of a run's first step", "[bench]") {
  const Deck deck = tiny({"batch.sequences=8"});
  const std::int64_t tokens = 4 * deck.batch.length;
  Meeting meeting(2);
  std::vector<std::int64_t> sums(static_cast<std::size_t>(deck.model.moe.experts));
  for (const int rank : {0, 1}) {  // each has half of the sequences
    ThreadCollective ranks(meeting, rank);
    const RecordedRouting routing = record_routing(deck, ".", ranks, tokens);
    CHECK(routing.gate == "model.layers.1.mlp.gate");
    CHECK(routing.experts == 4);
    CHECK(routing.choices == 2);
    const std::vector<std::int64_t> mine = counts(routing);
    for (std::size_t e = 0; e < sums.size(); ++e) sums[e] += mine[e];
  }
  CHECK(sums == loads_of_a_step(deck));
}

TEST_CASE("as many tokens are recorded as were asked for", "[bench]") {
  SerialCollective alone;
  const Deck deck = tiny();
  const RecordedRouting all = record_routing(deck, ".", alone, 2 * deck.batch.length);
  const RecordedRouting some = record_routing(deck, ".", alone, deck.batch.length + 5);
  REQUIRE(some.selected.size() == static_cast<std::size_t>(2 * (deck.batch.length + 5)));
  CHECK(std::equal(some.selected.begin(), some.selected.end(), all.selected.begin()));
}

TEST_CASE("init.from gives the weights and the bias that route", "[bench]") {
  TemporaryFolder folder;
  SerialCollective alone;
  Deck deck = tiny();
  Model<float> model(deck.model);
  Arena plan, arena;
  model.allocate(plan, {.training = false});
  arena.reserve(plan);
  model.allocate(arena, {.training = false});
  model.initialize(ExecSpace(), deck.run.seed);
  const float bias[] = {0, 0, 100, 0};
  copy_to_device(bias, 4, model.moe_layers().front()->bias().data);
  deck.init.from = save_state(alone, folder.path(), "test", model_state(model), {});
  const RecordedRouting routing = record_routing(deck, ".", alone, 64);
  CHECK(counts(routing)[2] == 64);
}

TEST_CASE("a model without experts has no routing", "[bench]") {
  SerialCollective alone;
  const Deck deck = tiny({"model.dense_layers=2", "mtp.depth=0"});
  CHECK_THROWS_WITH(record_routing(deck, ".", alone, 64),
                    "the model has no layer of experts, so no tokens travel to them");
}
