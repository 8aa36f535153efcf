// A value that is not finite never reaches a weight: the step stops, naming what it met, or is left out.
#include <cmath>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "core/arena.hpp"
#include "core/error.hpp"
#include "mpi_world.hpp"
#include "training/trainer.hpp"

using namespace moray;
using moray::test::world;

namespace {

Deck dense_deck(const std::string& non_finite) {
  Deck deck;
  deck.model.model = {
      .vocabulary = 16, .width = 8, .layers = 2, .dense_layers = 2, .dense_width = 12};
  deck.model.attention.heads = 2;
  deck.model.attention.nope_width = 4;
  deck.model.attention.rope_width = 2;
  deck.model.attention.value_width = 4;
  deck.model.attention.latent = 4;
  deck.batch.sequences = 2;
  deck.batch.length = 6;
  deck.length = {10};
  deck.optimizer.non_finite = non_finite;
  return deck;
}

/// A trainer with its memory, and a way to look at all that an update may touch.
struct Training {
  explicit Training(const std::string& non_finite) : trainer(dense_deck(non_finite), world()) {
    Arena plan;
    trainer.allocate(plan);
    arena.reserve(plan);
    trainer.allocate(arena);
    trainer.initialize();
  }
  std::vector<float> state() {
    std::vector<float> all;
    const auto append = [&](Vector<float> v) { all.insert(all.end(), v.data, v.data + v.size); };
    for (const Parameter& p : trainer.model().parameters().list())
      append(trainer.model().parameters().values(p));
    for (const Optimizer::Piece& p : trainer.optimizer().pieces()) {
      append(trainer.optimizer().m(p));
      append(trainer.optimizer().v(p));
    }
    return all;
  }
  StepReport step(std::int64_t index) {
    return trainer.step(index, [](std::uint64_t g, std::span<std::int32_t> tokens) {
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = static_cast<std::int32_t>((g * 5 + 3 * i) % 16);
      }
    });
  }
  Trainer trainer;
  Arena arena;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("a loss that is not finite stops the step or is skipped", "[trainer]") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Training stop("stop");
    stop.step(0);
    const Parameter& head = stop.trainer.model().parameters().list().back();
    stop.trainer.model().parameters().values(head)[3] = bad;
    const std::vector<float> before = stop.state();
    try {
      stop.step(1);
      FAIL("the step went on");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::numerics);
      CHECK(std::string(error.what()).find("step 2") != std::string::npos);
    }
    CHECK(same_bits(stop.state(), before));

    Training skip("skip");
    skip.step(0);
    skip.trainer.model().parameters().values(head)[3] = bad;
    const std::vector<float> unchanged = skip.state();
    const StepReport report = skip.step(1);
    CHECK(report.skipped);
    CHECK_FALSE(report.norm.finite);
    CHECK(same_bits(skip.state(), unchanged));
    // Mended, training goes on.
    skip.trainer.model().parameters().values(head)[3] = 0.01f;
    CHECK_FALSE(skip.step(2).skipped);
    CHECK_FALSE(same_bits(skip.state(), unchanged));
  }
}

TEST_CASE("the norm names the first tensor whose gradient is not finite", "[optimizer]") {
  Deck deck = dense_deck("stop");
  Model<float> model(deck.model);
  Optimizer optimizer(deck.optimizer, model.parameters());
  const auto allocate = [&](Arena& arena) {
    model.allocate(arena, {.sequences = 1, .rows = 6});
    ModelShards shards;
    for (int r = 0; r < kRegions; ++r)
      shards.regions[r] = Shards(model.parameters().size(static_cast<Region>(r)));
    optimizer.allocate(arena, model.parameters(), shards);
  };
  Arena plan;
  allocate(plan);
  Arena arena;
  arena.reserve(plan);
  allocate(arena);
  const ExecSpace exec;
  CHECK(optimizer.norm(exec, model.parameters(), 6, world()).finite);
  for (const Parameter& p : model.parameters().list()) {
    const Vector<float> gradient = model.parameters().gradient(p, 0);
    float& element = gradient[gradient.size / 2];
    element = -std::numeric_limits<float>::infinity();
    const Optimizer::Norm norm = optimizer.norm(exec, model.parameters(), 6, world());
    CHECK_FALSE(norm.finite);
    CHECK(norm.bad_tensor == p.name);
    element = 0;
  }
}
