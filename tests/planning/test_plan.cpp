#include "planning/plan.hpp"

#include "catch.hpp"
#include "training/deck.hpp"
#include "training/fp8_state.hpp"
#include "training/rank_memory.hpp"
#include "training/samples.hpp"
#include "training/saver.hpp"

using namespace moray;

namespace {

Deck deck_of(const std::string& name, const std::vector<std::string>& overrides = {},
             std::int64_t ranks = 0) {
  return read_deck(std::string(MORAY_INPUT_FOLDER) + "/" + name, overrides, nullptr, ranks);
}

/// Parameters from the equations of the DeepSeek-V3 report (section 2.1) alone.
struct Formula {
  explicit Formula(const ModelConfig& config)
      : d(config.model.width), m(config.model), a(config.attention), e(config.moe) {}

  std::int64_t attention() const {
    const std::int64_t q = a.heads * (a.nope_width + a.rope_width);
    const std::int64_t r = a.query_latent;
    const std::int64_t query = r > 0 ? d * r + r + r * q : d * q;
    return query + d * (a.latent + a.rope_width) + a.latent +
           a.latent * a.heads * (a.nope_width + a.value_width) + a.heads * a.value_width * d;
  }
  std::int64_t expert() const { return 3 * d * e.width; }
  /// An MoE layer with `experts` of its experts.
  std::int64_t moe_layer(std::int64_t experts) const {
    return attention() + 2 * d + (experts + e.shared_experts) * expert() + e.experts * d +
           (e.gate == "sigmoid" ? e.experts : 0);
  }
  std::int64_t model(std::int64_t experts, bool embedding) const {
    const std::int64_t dense = attention() + 2 * d + 3 * d * m.dense_width;
    return (embedding ? 2 : 1) * m.vocabulary * d + d + m.dense_layers * dense +
           (m.layers - m.dense_layers) * moe_layer(experts);
  }
  std::int64_t mtp_module() const { return moe_layer(e.experts) + 2 * d * d + 3 * d; }

  std::int64_t d;
  ModelSizes m;
  AttentionConfig a;
  MoeConfig e;
};

}  // namespace

TEST_CASE("the published models have the published numbers of parameters", "[planning]") {
  const Plan v3 = make_plan(deck_of("deepseek-v3-671b.yaml"));
  CHECK(v3.parameters.total == 671'026'419'200);
  CHECK(v3.parameters.mtp == 11'610'068'224);
  CHECK(v3.parameters.active == Approx(36.626e9).epsilon(2e-5));
  CHECK(2 * v3.cache_elements == 70'272);
  CHECK(v3.flops.attention == Approx(10.23e9).epsilon(1e-3));
  CHECK(v3.flops.training() == Approx(250.5e9).epsilon(1e-3));
  CHECK(v3.tokens_per_step == 62'914'560);
  CHECK(v3.micro_batches == 120);
  const Plan v2 = make_plan(deck_of("deepseek-v2-236b.yaml"));
  CHECK(v2.parameters.total == 235'741'434'880);
  CHECK(v2.parameters.active == Approx(20.85e9).epsilon(1e-3));
  CHECK(v2.parameters.mtp == 0);
  const Plan lite = make_plan(deck_of("deepseek-v2-lite-16b.yaml"));
  CHECK(lite.parameters.total == 15'706'484'224);
  CHECK(lite.parameters.active == Approx(2.45e9).epsilon(1e-3));
}

TEST_CASE("decks of this project have the sizes that they promise", "[planning]") {
  const auto check = [](const std::string& deck, double total, double active) {
    CAPTURE(deck);
    const ParameterPlan p = make_plan(deck_of(deck)).parameters;
    CHECK(static_cast<double>(p.total) ==
          Approx(total * 1e6).margin(0.005e6 * (total > 10 ? 10 : 1)));
    CHECK(static_cast<double>(p.active) ==
          Approx(active * 1e6).margin(0.005e6 * (active > 10 ? 10 : 1)));
  };
  check("quickstart.yaml", 2.42, 1.38);
  check("shakespeare.yaml", 1.47, 0.77);
  check("bench/moe-small.yaml", 40.8, 15.9);
}

TEST_CASE("counts by tensors equal counts by equations", "[planning]") {
  for (const std::string deck :
       {"deepseek-v3-671b.yaml", "deepseek-v2-236b.yaml", "deepseek-v2-lite-16b.yaml",
        "quickstart.yaml", "shakespeare.yaml", "bench/moe-small.yaml", "tiny.yaml"}) {
    CAPTURE(deck);
    const Deck d = deck_of(deck);
    const ParameterPlan p = make_plan(d).parameters;
    const Formula f(d.model);
    CHECK(p.total == f.model(d.model.moe.experts, true));
    CHECK(p.active == f.model(d.model.moe.top_k, false));
    CHECK(p.mtp == d.model.mtp.depth * f.mtp_module());
    std::int64_t sum = 0;
    for (const ModuleParameters& m : p.modules) sum += m.total;
    CHECK(sum == p.total);
  }
}

TEST_CASE("the plan is what a real arena hands out", "[planning]") {
  for (const std::vector<std::string>& overrides :
       {std::vector<std::string>{},
        {"run.recompute=false"},
        {"batch.micro=1", "samples.tokens=5"},
        {"mtp.depth=2", "optimizer.moments=bf16", "optimizer.ema=0.9"},
        {"checkpoint.fp8_weights=all_linears", "mtp.depth=1"},
        {"attention.query_latent=16", "head.chunk=7"}}) {
    const Deck deck = deck_of("tiny.yaml", overrides);
    const Plan plan = make_plan(deck);
    Model<float> model(deck.model);
    Optimizer optimizer(deck.optimizer, model.parameters());
    const MeshShape shape = mesh_shape(deck, plan.data_ranks);
    const RankLayout layout = rank_layout(deck, shape, mesh_place(shape, 0));
    Arena counted;
    Arena real;
    const auto sampler = make_sample_decoder(deck, layout.share);
    const auto all_gates = [](std::size_t) { return true; };
    Fp8Saving fp8;
    const auto allocate = [&](Arena& arena) {
      allocate_rank(arena, layout, rank_shards(layout, model), model, optimizer, nullptr);
      if (sampler) sampler->allocate(arena, &model);
      fp8 = allocate_fp8_saving(arena, deck.checkpoint.fp8_weights, model.parameters());
      allocate_snapshot(arena, deck.checkpoint, owned_bytes(model, optimizer, all_gates, fp8));
    };
    allocate(counted);
    real.reserve(counted);
    allocate(real);
    for (std::size_t i = 0; i < plan.bytes.size(); ++i)
      CHECK(plan.bytes[i] == real.bytes(static_cast<Memory>(i)));
    // The floor that no arena can be below.
    const auto parameters =
        static_cast<std::int64_t>(sizeof(float)) * (plan.parameters.total + plan.parameters.mtp);
    CHECK(plan.bytes[static_cast<std::size_t>(Memory::weights)] >= parameters);
    // What an asynchronous save copies.
    std::int64_t owned = 0;
    for (const StateTensor& tensor : owned_state(model, optimizer, all_gates, fp8)) {
      for (const StatePiece& piece : tensor.pieces)
        owned += piece.count * bytes_of(tensor.spec.dtype);
    }
    CHECK(owned == owned_bytes(model, optimizer, all_gates, fp8));
    CHECK(plan.bytes[static_cast<std::size_t>(Memory::snapshot)] == (owned + 63) / 64 * 64);
  }
}

TEST_CASE("no snapshot is planned where every save waits", "[planning]") {
  const auto snapshot = [](const std::vector<std::string>& overrides) {
    return make_plan(deck_of("tiny.yaml", overrides))
        .bytes[static_cast<std::size_t>(Memory::snapshot)];
  };
  CHECK(snapshot({"checkpoint.every=0", "checkpoint.every_minutes=5"}) == snapshot({}));
  CHECK(snapshot({}) > 0);
  CHECK(snapshot({"checkpoint.every=0"}) == 0);
  CHECK(snapshot({"checkpoint.asynchronous=false"}) == 0);
  CHECK(snapshot({"checkpoint.io=mpiio"}) == 0);
}

TEST_CASE("more ranks hold fewer sequences and lanes each, and a buffer for exchange",
          "[planning]") {
  const Plan one = make_plan(deck_of("quickstart.yaml"));
  const Plan two = make_plan(deck_of("quickstart.yaml", {}, 2));
  const auto bytes = [](const Plan& plan, Memory m) {
    return plan.bytes[static_cast<std::size_t>(m)];
  };
  CHECK(two.data_ranks == 2);
  CHECK(two.lanes * 2 == one.lanes);
  CHECK(bytes(one, Memory::communication) == 0);
  CHECK(bytes(two, Memory::communication) > 0);
  CHECK(bytes(two, Memory::gradients) < bytes(one, Memory::gradients));
  CHECK(bytes(two, Memory::weights) == bytes(one, Memory::weights));
  // ZeRO stage 1: moments are split, by whole blocks of 2^16 elements.
  const auto block = std::int64_t{2 * 4} << 16;
  CHECK(bytes(two, Memory::optimizer) >= bytes(one, Memory::optimizer) / 2 - block);
  CHECK(bytes(two, Memory::optimizer) <= bytes(one, Memory::optimizer) / 2 + block);
  CHECK(two.optimizer_unsplit == bytes(one, Memory::optimizer));
  CHECK(one.optimizer_unsplit == bytes(one, Memory::optimizer));
  CHECK(one.owned_elements == one.parameters.total - 3 * 8);  // selection biases are no parameters
}

TEST_CASE("FP8 keeps fewer bytes of activations, byte by byte", "[plan]") {
  const std::string text =
      "run: {length: 1 steps}\n"
      "model: {vocabulary: 260, width: 256, layers: 1, dense_layers: 1, dense_width: 384}\n"
      "attention: {heads: 2, nope_width: 64, rope_width: 32, value_width: 80, latent: 136}\n"
      "batch: {sequences: 2, length: 64}\n"
      "data: {synthetic: keyed}\n";
  const auto plan_of = [&](const std::string& compute) {
    const DeckReading reading = read_deck_text(text, "deck.yaml", {"precision.compute=" + compute});
    REQUIRE(reading.problems.empty());
    return make_plan(reading.deck);
  };
  const Plan float32 = plan_of("float32"), bf16 = plan_of("bf16"), fp8 = plan_of("fp8");
  const auto at = static_cast<std::size_t>(Memory::activations);
  const auto weights = static_cast<std::size_t>(Memory::weights);
  CHECK(float32.float32_bytes == float32.bytes);
  CHECK(bf16.float32_bytes == float32.bytes);
  CHECK(fp8.float32_bytes == float32.bytes);
  const std::int64_t tokens = 2 * 64, queries = 2 * 96, o = 2 * 80, down = queries + 136 + 32;
  const std::int64_t gate_up = 2 * 384;
  // Of q and kv_a, o and gate|up: 2 bytes; E5M6 in 12 bytes for 8 values, E4M3 1, each with scales. Buffers begin at
  // multiples of 64 bytes.
  const auto padded = [](std::int64_t bytes) { return (bytes + 63) / 64 * 64; };
  const std::int64_t in_float32 =
      padded(4 * tokens * down) + padded(4 * tokens * o) + padded(4 * tokens * gate_up);
  CHECK(float32.bytes[at] - bf16.bytes[at] == in_float32 - padded(2 * tokens * down) -
                                                  padded(2 * tokens * o) -
                                                  padded(2 * tokens * gate_up));
  CHECK(float32.bytes[at] - fp8.bytes[at] ==
        in_float32 - padded(2 * tokens * down) - padded(tokens * o / 8 * 12) -
            padded(tokens * 2 * 4) - padded(tokens * gate_up) - padded(tokens * 6 * 4));
  CHECK(bf16.bytes[weights] - float32.bytes[weights] ==
        2 * 256 * (down + gate_up) + 2 * 136 * 2 * 144 + 2 * 256 * o + 2 * 256 * 384);
}
