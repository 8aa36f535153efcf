// The reader and the committed files; that the model agrees with them is test_parity's to say.
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "core/error.hpp"
#include "parity/reference.hpp"

using namespace moray;
using namespace moray::test;

TEST_CASE("weights follow from name and index as in make_references.py", "[parity]") {
  const std::string embedding = "model.embed_tokens.weight";
  const std::string norm = "model.layers.1.input_layernorm.weight";
  const std::string bias = "model.layers.2.mlp.gate.e_score_correction_bias";
  const std::string expert = "model.layers.2.mlp.experts.5.up_proj.weight";
  CHECK(parity_weight(embedding, 0) == -0x1.07ap-3f);
  CHECK(parity_weight(embedding, 299) == -0x1.7dp-4f);
  CHECK(parity_weight(norm, 0) == 0x1.3294p+0f);
  CHECK(parity_weight(norm, 1) == 0x1.c1c6p-1f);
  CHECK(parity_weight(bias, 0) == 0x1.d234p-5f);
  CHECK(parity_weight(expert, 299) == -0x1.4cf8p-2f);
}

TEST_CASE("every committed reference is whole and consistent", "[parity]") {
  for (const std::string& shape : ParityReference::shapes()) {
    CAPTURE(shape);
    const ParityReference reference(shape);
    const ModelConfig config = reference.config();
    const std::int64_t B = reference.sequences(), T = reference.length();
    const std::int64_t V = config.model.vocabulary;
    REQUIRE(static_cast<std::int64_t>(reference.tokens().size()) == B * (T + 1));
    CHECK(reference.parameters().size() > 60);
    CHECK(reference.extents("gradient.model.layers." + std::to_string(config.model.layers - 1) +
                            ".mlp.experts.0.up_proj.weight") ==
          std::vector<std::int64_t>{config.moe.width, config.model.width});

    // Each loss follows from its logits and targets.
    for (std::int64_t k = 0; k <= config.mtp.depth; ++k) {
      const std::string prefix = k > 0 ? "mtp." + std::to_string(k) + "." : "";
      const auto logits = reference.values(prefix + "logits");
      REQUIRE(static_cast<std::int64_t>(logits.size()) == B * (T - k) * V);
      double sum = 0;
      for (std::int64_t row = 0; row < B * (T - k); ++row) {
        const std::int64_t b = row / (T - k), i = row % (T - k);
        double total = 0;
        for (std::int64_t v = 0; v < V; ++v) total += std::exp(double(logits[row * V + v]));
        sum += std::log(total) - logits[row * V + reference.tokens()[b * (T + 1) + i + k + 1]];
      }
      CHECK(reference.values(prefix + "loss")[0] ==
            Approx(sum / static_cast<double>(B * T)).epsilon(1e-6));
    }
  }
}

TEST_CASE("an absent reference or tensor is an error with its name", "[parity]") {
  CHECK_THROWS_AS(ParityReference("absent"), Error);
  CHECK_THROWS_AS(ParityReference("plain").values("gradient.absent"), Error);
}

TEST_CASE("differences: both zero passes, one zero fails", "[parity]") {
  const std::vector<float> zero = {0, 0}, one = {0, 1}, close = {0, 1.0001f};
  const std::vector<float> nan = {0, std::numeric_limits<float>::quiet_NaN()};
  CHECK(calc_diff(zero, zero) == 0);
  CHECK(calc_diff(zero, one) == 1);
  CHECK(calc_diff(one, zero) == 1);
  CHECK(calc_diff(close, one) == Approx(5e-9).epsilon(0.01));
  CHECK_FALSE(calc_diff(nan, one) <= 1e-10);
  CHECK(max_relative_difference(zero, zero) == 0);
  CHECK(max_relative_difference(one, zero) == std::numeric_limits<double>::infinity());
  CHECK(max_relative_difference(close, one) == Approx(1e-4).epsilon(0.01));
  CHECK_FALSE(max_relative_difference(nan, one) <= 1e-5);
}
