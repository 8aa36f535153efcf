// Our model against transformers': logits, losses and the gradient of every parameter.
#include <fmt/format.h>

#include <algorithm>

#include "catch.hpp"
#include "core/arena.hpp"
#include "model/model.hpp"
#include "reference.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr double kValueBar = 1e-5;
constexpr double kGradientBar = 1e-10;

struct ParityModel {
  explicit ParityModel(const ParityReference& reference)
      : model(reference.config()), batch(reference.sequences()) {
    const ModelUse use{.sequences = reference.sequences(), .rows = reference.length()};
    Arena plan;
    model.allocate(plan, use);
    arena.reserve(plan);
    model.allocate(arena, use);
    model.fill_rotary_table();
    for (const Parameter& p : model.parameters().list()) fill(p.name, model.parameters().values(p));
    for (Moe<float>* moe : model.moe_layers()) {
      fill(moe->name() + "gate.e_score_correction_bias", moe->bias());
    }
    batch.assign(Deal{}, 0, reference.sequences());
  }
  static void fill(const std::string& name, Vector<float> values) {
    std::vector<float> host(static_cast<std::size_t>(values.size));
    for (std::size_t i = 0; i < host.size(); ++i) {
      host[i] = parity_weight(name, static_cast<std::int64_t>(i));
    }
    copy_to_device(host.data(), host.size(), values.data);
  }
  /// Logits of a use, (B (T - k), V).
  std::vector<float> logits(std::int64_t use) {
    std::vector<float> all;
    std::vector<float> row(static_cast<std::size_t>(model.config().model.vocabulary));
    for (std::int64_t s = 0; s < model.use().sequences; ++s) {
      for (std::int64_t i = 0; i < model.use().rows - use; ++i) {
        model.row_logits(pass, s, model.use_first(use) + i, row);
        all.insert(all.end(), row.begin(), row.end());
      }
    }
    return all;
  }
  float loss(std::int64_t use) {
    double sum = 0;
    for (std::int64_t s = 0; s < model.use().sequences; ++s) {
      const Vector<const float> losses = model.losses(s, use);
      for (std::int64_t i = 0; i < losses.size; ++i) sum += static_cast<double>(losses[i]);
    }
    return static_cast<float>(sum / static_cast<double>(model.use().sequences * model.use().rows));
  }

  Arena arena;
  Model<float> model;
  BatchLayout batch;
  Pass<float> pass;
};

void check_values(const std::vector<float>& ours, std::span<const float> theirs) {
  REQUIRE(ours.size() == theirs.size());
  CHECK(max_relative_difference(ours, theirs) <= kValueBar);
}

}  // namespace

TEST_CASE("logits, losses and gradients are those of transformers", "[parity]") {
  for (const std::string& shape : ParityReference::shapes()) {
    DYNAMIC_SECTION(shape) {
      const ParityReference reference(shape);
      ParityModel test(reference);
      const std::int64_t depth = test.model.depth();
      Model<float>::Options options{.mtp_lambda = 0, .routing = Routing::evaluate};
      if (depth > 0) {
        options.mtp_lambda =
            static_cast<float>(reference.config().mtp.weight / static_cast<double>(depth));
      }
      test.model.clear_gradients(test.pass.exec);
      test.model.forward(test.pass, test.batch, reference.tokens(), options);
      check_values(test.logits(0), reference.values("logits"));
      check_values({test.loss(0)}, reference.values("loss"));
      for (std::int64_t k = 1; k <= depth; ++k) {
        check_values(test.logits(k), reference.values(fmt::format("mtp.{}.logits", k)));
        check_values({test.loss(k)}, reference.values(fmt::format("mtp.{}.loss", k)));
      }

      test.model.backward(test.pass, test.batch, options);
      const Vector<float> embedding{
          test.model.parameters().gradient(test.model.embedding(), 0).data,
          test.model.embedding().rows * test.model.embedding().cols};
      for (const Matrix<float>& use : test.model.embedding_uses()) {
        for (std::int64_t i = 0; i < embedding.size; ++i) embedding[i] += use.data[i];
      }
      std::size_t compared = 0;
      for (const Parameter& p : test.model.parameters().list()) {
        const Vector<float> gradient = test.model.parameters().gradient(p, 0);
        const std::span<const float> ours(gradient.data, static_cast<std::size_t>(gradient.size));
        const std::span<const float> theirs = reference.values("gradient." + p.name);
        INFO(p.name);
        REQUIRE(ours.size() == theirs.size());
        CHECK(calc_diff(ours, theirs) <= kGradientBar);
        ++compared;
      }
      CHECK(compared == reference.parameters().size());
    }
  }
}
