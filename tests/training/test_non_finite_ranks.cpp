// A value that is not finite on one rank of several: no rank waits for another, all stop with the same
// message or leave the step out, and nothing was updated on any. On however many ranks the test is
// started on.
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "catch.hpp"
#include "core/arena.hpp"
#include "core/error.hpp"
#include "mpi_world.hpp"
#include "training/trainer.hpp"
#include "training/verify.hpp"

using namespace moray;
using moray::test::world;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
/// So large that a loss is finite and its gradient is not, when norms have divided it by small numbers.
constexpr float kHuge = 3e37F;

/// Two dense layers, six with experts.
Deck deck_of(const NamedLayout& layout, const std::string& non_finite) {
  Deck deck;
  deck.model.model = {
      .vocabulary = 16, .width = 8, .layers = 8, .dense_layers = 2, .dense_width = 12};
  deck.model.attention.heads = 2;
  deck.model.attention.nope_width = 4;
  deck.model.attention.rope_width = 2;
  deck.model.attention.value_width = 4;
  deck.model.attention.latent = 4;
  deck.model.moe.experts = 4;
  deck.model.moe.top_k = 2;
  deck.model.moe.shared_experts = 0;
  deck.model.moe.width = 4;
  deck.batch.sequences = 16;
  deck.batch.micro = 1;
  deck.batch.length = 6;
  deck.length = {10};
  deck.run.ranks = layout.ranks();
  deck.parallel.pipeline = layout.pipeline;
  deck.parallel.schedule = layout.schedule;
  deck.parallel.data = layout.data;
  deck.parallel.expert = layout.expert;
  deck.parallel.nodes = layout.nodes;
  deck.parallel.lanes = deck.parallel.expert_lanes = 4;
  deck.optimizer.non_finite = non_finite;
  return deck;
}

struct Training {
  explicit Training(const Deck& deck) : trainer(deck, world()) {
    Arena plan;
    trainer.allocate(plan);
    arena.reserve(plan);
    trainer.allocate(arena);
    trainer.initialize();
  }
  /// All that an update may touch on this rank.
  std::vector<float> state() {
    std::vector<float> all;
    const auto append = [&](Vector<float> v) { all.insert(all.end(), v.data, v.data + v.size); };
    for (const Parameter& p : trainer.model().parameters().list())
      if (p.held) append(trainer.model().parameters().values(p));
    for (const Moe<float>* moe : trainer.model().moe_layers()) append(moe->bias());
    for (const Optimizer::Piece& p : trainer.optimizer().pieces()) {
      append(trainer.optimizer().m(p));
      append(trainer.optimizer().v(p));
    }
    return all;
  }
  StepReport step(std::int64_t index) {
    return trainer.step(index, [](std::uint64_t g, std::span<std::int32_t> tokens) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = static_cast<std::int32_t>((g * 5 + 3 * i) % 16);
    });
  }
  /// An element of a tensor, on the first of the ranks that have it; null elsewhere.
  float* element(const std::string& name) {
    for (const Parameter& p : trainer.model().parameters().list()) {
      if (p.name != name) continue;
      std::int64_t first = p.held ? -world().rank() : -world().size();
      world().maximum(std::span(&first, 1));
      return p.held && -first == world().rank() ? &trainer.model().parameters().values(p)[1]
                                                : nullptr;
    }
    return nullptr;
  }
  Trainer trainer;
  Arena arena;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A fault, and what a run that stops says of it. A gate that can not choose stops every run.
struct Fault {
  const char* tensor;
  float value;
  const char* message;
  bool always_stops;
};
constexpr Fault kFaults[] = {
    {"model.layers.0.self_attn.o_proj.weight", kNan, "gate: a logit of position", true},
    {"model.layers.6.mlp.experts.3.down_proj.weight", kNan, "gate: a logit of position", true},
    {"model.layers.7.mlp.experts.2.down_proj.weight", kNan, "step 2: the loss of position", false},
    {"lm_head.weight", kNan, "step 2: the loss of position", false},
    {"lm_head.weight", kHuge,
     "step 2: the gradient of model.embed_tokens.weight is not finite; nothing was updated", false},
};

/// What the second step of this rank says; empty when it ends.
std::string second_step(Training& training, bool& skipped) {
  try {
    skipped = training.step(1).skipped;
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::numerics);
    return error.what();
  }
  return {};
}

void check(const NamedLayout& layout, const Fault& fault, const std::string& non_finite) {
  CAPTURE(layout.name, fault.tensor, fault.value, non_finite);
  Training undisturbed(deck_of(layout, non_finite)), training(deck_of(layout, non_finite));
  training.step(0);
  undisturbed.step(0);
  float* planted = training.element(fault.tensor);
  const float mended = planted != nullptr ? *planted : 0;
  if (planted != nullptr) *planted = fault.value;
  const std::vector<float> before = training.state();
  bool skipped = false;
  const std::string message = second_step(training, skipped);
  const bool stops = fault.always_stops || non_finite == "stop";
  CHECK(skipped != stops);
  CHECK((message.find(fault.message) != std::string::npos) == stops);
  CHECK(message == world().broadcast(message, 0));
  CHECK(same_bits(training.state(), before));
  // Mended, the step comes out as if nothing had been.
  if (planted != nullptr) *planted = mended;
  const StepReport again = training.step(1), expected = undisturbed.step(1);
  CHECK_FALSE(again.skipped);
  CHECK(again.loss == expected.loss);
  CHECK(again.norm.value == expected.norm.value);
  CHECK(same_bits(training.state(), undisturbed.state()));
}

}  // namespace

TEST_CASE("a value that is not finite on one rank stops all, or leaves the step out",
          "[trainer][mpi]") {
  const std::map<int, std::string> layouts = {
      {1, "d1"},
      {2, "p2:1f1b, p2:zb1p, p2:dualpipe, p2:dualpipev, d2e2"},
      {4, "p4:1f1b, p4:zb1p, p4:dualpipe, p4:dualpipev, d4e4n2, p2d2e2:dualpipe, p2d2e2n2:zb1p"}};
  for (const NamedLayout& layout : parse_layouts(layouts.at(world().size()))) {
    REQUIRE(layout.ranks() == world().size());
    for (const Fault& fault : kFaults)
      for (const char* non_finite : {"stop", "skip"}) check(layout, fault, non_finite);
  }
}
