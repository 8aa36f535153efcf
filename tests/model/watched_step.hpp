#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "catch.hpp"
#include "model/plain_fp8.hpp"
#include "small_models.hpp"

/// A step of a small model in FP8, and every stage that a probe is shown of it.
namespace moray::test {

// Three experts, of which each token has two: about 140 rows for each of a sequence's experts, more than
// a block. No width is a multiple of 128, and gate|up is cut within a block.
inline constexpr std::size_t kSequences = 2, kRows = 210, kTokens = kSequences * kRows;
inline constexpr std::size_t kExperts = 3, kChoices = 2;

inline ModelConfig low_model_config(const PrecisionConfig& precision, std::int64_t query_latent) {
  ModelConfig config = small_config(query_latent, false, 0, false);
  config.model.width = 200;
  config.model.layers = 2;
  config.model.dense_width = 136;
  config.attention.nope_width = 48;
  config.attention.rope_width = 16;
  config.attention.value_width = 75;  // groups of eight E5M6 codes are filled up
  config.attention.latent = 40;
  config.attention.max_length = kRows;
  config.moe.experts = kExperts;
  config.moe.top_k = kChoices;
  config.moe.shared_experts = 0;
  config.moe.width = 140;
  config.moe.groups = config.moe.top_groups = 1;
  config.precision = precision;
  return config;
}

/// Keeps what it is shown.
class Stages final : public Probe<float> {
 public:
  void enter(const char* place, std::int64_t index, const BatchLayout&) override {
    place_ = index < 0 ? fmt::format("{}/", place) : fmt::format("{}{}/", place, index);
  }
  void rows(const char* stage, Matrix<const float> values, std::int64_t, std::int64_t) override {
    keep(stage, values);
  }
  void choices(const char* stage, Matrix<const std::int32_t> values) override {
    std::vector<std::int32_t> experts(static_cast<std::size_t>(values.rows * values.cols));
    Kokkos::fence();
    copy_to_host(values.data, experts.size(), experts.data());
    choices_[place_ + stage] = experts;
  }
  void expert_rows(const char* stage, const Route<float>&, Matrix<const float> values) override {
    keep(stage, values);
  }
  void lanes(Model<float>&) override {}
  void folded(const Fold&, Vector<const float>) override {}

  const PlainMatrix& operator()(const std::string& stage) const {
    INFO("stage " << stage);
    REQUIRE(values_.count(stage) == 1);
    return values_.at(stage);
  }
  const std::vector<std::int32_t>& choices_of(const std::string& stage) const {
    return choices_.at(stage);
  }

 private:
  void keep(const char* stage, const Matrix<const float>& values) {
    Kokkos::fence();
    values_[place_ + stage] = on_host(values);
  }
  std::string place_;
  std::map<std::string, PlainMatrix> values_;
  std::map<std::string, std::vector<std::int32_t>> choices_;
};

/// A forward and a backward of one micro-batch.
struct WatchedStep {
  WatchedStep(const PrecisionConfig& precision, std::int64_t query_latent, bool recompute,
              bool shown = true)
      : recipe{precision},
        test(low_model_config(precision, query_latent),
             {.sequences = kSequences, .rows = kRows, .training = true, .recompute = recompute}),
        tokens(random_tokens(9, kSequences * (kRows + 1), 11)) {
    test.randomize(5, 0.1);
    // Channels of many sizes, so that a coarser scale loses some of their values.
    for (const Parameter& p : test.model.parameters().list()) {
      const Vector<float> gains = test.model.parameters().values(p);
      for (std::int64_t i = 0; p.is_vector && i < gains.size; ++i)
        gains[i] = std::ldexp(gains[i], -static_cast<int>(i % 17));
    }
    Pass<float> pass;
    if (shown) pass.probe = &stages;
    test.model.parameters().update_copies(pass.exec);
    BatchLayout batch(kSequences);
    batch.assign(Deal{}, 0, kSequences);
    test.model.forward(pass, batch, tokens, {});
    test.model.clear_gradients(pass.exec);
    test.model.backward(pass, batch, {});
    pass.throw_error();
    Kokkos::fence();
  }

  /// Of parameters whose rows follow each other.
  PlainMatrix joined(const std::vector<std::string>& names, bool gradient) const {
    PlainMatrix all;
    const Parameters<float>& parameters = test.model.parameters();
    for (const std::string& name : names) {
      for (const Parameter& p : parameters.list()) {
        if (p.name != name + ".weight") continue;
        const Vector<float> from = gradient ? parameters.gradient(p, 0) : parameters.values(p);
        const PlainMatrix one = on_host(matrix(from.data, p.rows, p.cols));
        all.cols = one.cols;
        all.values.insert(all.values.end(), one.values.begin(), one.values.end());
      }
    }
    REQUIRE(all.rows() > 0);
    return all;
  }
  Codes weight(const std::vector<std::string>& names) const {
    return recipe.w(joined(names, false));
  }
  PlainMatrix gradient(const std::vector<std::string>& names) const { return joined(names, true); }
  const PlainMatrix& stage(int layer, const std::string& name) const {
    return stages(fmt::format("layer{}/{}", layer, name));
  }
  /// The stream into a layer, and the gradient of what leaves it.
  PlainMatrix stream(int layer) const {
    if (layer > 0) return stage(layer - 1, "y");
    const PlainMatrix table = joined({"model.embed_tokens"}, false);
    PlainMatrix h(kTokens, table.cols);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto token = static_cast<std::size_t>(tokens[t / kRows * (kRows + 1) + t % kRows]);
      for (std::size_t j = 0; j < table.cols; ++j) h(t, j) = table(token, j);
    }
    return h;
  }
  const PlainMatrix& gradient_out(int layer) const {
    return layer == 1 ? stages("end/norm.dx") : stage(layer + 1, "dx");
  }
  /// As `swiglu_input` and `attention_output` keep a tensor.
  PlainMatrix kept(const std::string& as, const PlainMatrix& x) const {
    if (as == "e5m6") return decoded(by_token_e5m6(x));
    if (as == "e4m3") return decoded(by_token(x, recipe.power()));
    return mapped(x, rounded_to_bf16);
  }

  Recipe recipe;
  TestModel<float> test;
  std::vector<std::int32_t> tokens;
  Stages stages;
};

}  // namespace moray::test
