#include "catch.hpp"
#include "training/state.hpp"
#include "training/trainer.hpp"

using namespace moray;

TEST_CASE("checkpoint names are those of Hugging Face, experts stacked", "[state]") {
  CHECK(dataset_name("model.embed_tokens.weight") == "model/embed_tokens/weight");
  CHECK(dataset_name("model.layers.3.mlp.experts.7.up_proj.weight") ==
        "model/layers/3/mlp/experts/up_proj/weight");
  CHECK(dataset_name("model.layers.3.mlp.shared_experts.up_proj.weight") ==
        "model/layers/3/mlp/shared_experts/up_proj/weight");
}

TEST_CASE("a model's state covers every parameter once", "[state]") {
  ModelConfig config;
  config.model = {.vocabulary = 8, .width = 8, .layers = 2, .dense_layers = 1, .dense_width = 8};
  config.attention.heads = 1;
  config.attention.nope_width = 4;
  config.attention.rope_width = 2;
  config.attention.value_width = 4;
  config.attention.latent = 4;
  config.moe.experts = 4;
  config.moe.top_k = 2;
  config.moe.width = 6;
  Model<float> model(config);
  Arena plan;
  model.allocate(plan, {.sequences = 1, .rows = 4});
  Arena arena;
  arena.reserve(plan);
  model.allocate(arena, {.sequences = 1, .rows = 4});
  std::int64_t elements = 0;
  std::size_t parts = 0;
  bool stacked = false;
  for (const StateTensor& tensor : model_state(model)) {
    std::int64_t shape = 1;
    for (const std::int64_t extent : tensor.spec.shape) shape *= extent;
    CHECK(tensor.spec.parts == static_cast<std::int64_t>(tensor.pieces.size()));
    std::int64_t covered = 0;
    for (const StatePiece& piece : tensor.pieces) {
      CHECK(piece.offset == covered);
      covered += piece.count;
    }
    CHECK(covered == shape);
    if (tensor.spec.name == "model/layers/1/mlp/experts/gate_proj/weight") {
      stacked = true;
      CHECK(tensor.spec.shape == std::vector<std::int64_t>{4, 6, 8});
      CHECK(tensor.spec.axes == "expert,out,in");
    }
    if (tensor.spec.name.find("gate/e_score") != std::string::npos || tensor.on_host) continue;
    elements += shape;
    parts += tensor.pieces.size();
  }
  std::int64_t expected = 0;
  for (const Parameter& p : model.parameters().list()) expected += p.elements();
  CHECK(stacked);
  CHECK(elements == expected);
  CHECK(parts == model.parameters().list().size());
}

TEST_CASE("MaxVio", "[trainer]") {
  CHECK(max_violation({10, 10, 10, 10}) == 0);
  CHECK(max_violation({20, 10, 10, 0}) == 1);
  CHECK(max_violation({0, 0}) == 0);
}
