#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "model/model.hpp"

namespace moray::test {

/// A model small enough for brute force, with every part switched on by its arguments.
inline ModelConfig small_config(std::int64_t query_latent, bool softmax, std::int64_t depth,
                                bool yarn) {
  ModelConfig config;
  config.model = {.vocabulary = 11,
                  .width = 12,
                  .layers = 3,
                  .dense_layers = 1,
                  .dense_width = 10,
                  .norm_eps = 1e-6,
                  .init_std = 0.2,
                  .head_chunk = 4096};
  config.attention.heads = 2;
  config.attention.nope_width = 4;
  config.attention.rope_width = 4;
  config.attention.value_width = 3;
  config.attention.latent = 5;
  config.attention.query_latent = query_latent;
  config.attention.max_length = yarn ? 64 : 16;
  config.attention.yarn = {
      .factor = 4, .original_length = 16, .beta_fast = 32, .beta_slow = 1, .mscale = 1};
  config.moe = {.experts = 8,
                .top_k = 3,
                .shared_experts = 1,
                .width = 6,
                .groups = 4,
                .top_groups = 2,
                .gate = softmax ? "softmax" : "sigmoid",
                .normalize = !softmax,
                .scale = 1.5,
                .bias_rate = softmax ? 0.0 : 0.001,
                .sequence_loss = 0.01};
  config.mtp.depth = depth;
  return config;
}

/// A model with its memory.
template <class Real>
struct TestModel {
  TestModel(const ModelConfig& config, const ModelUse& use) : model(config) {
    Arena plan;
    model.allocate(plan, use);
    arena.reserve(plan);
    model.allocate(arena, use);
    model.fill_rotary_table();
  }
  /// Normal weights from a seed, the same values for every Real; gains around 1.
  void randomize(unsigned seed, double std) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (const Parameter& p : model.parameters().list()) {
      const Vector<Real> values = model.parameters().values(p);
      for (std::int64_t i = 0; i < values.size; ++i) {
        values[i] =
            static_cast<Real>(static_cast<float>((p.is_vector ? 1 : 0) + std * normal(random)));
      }
    }
    for (Moe<Real>* moe : model.moe_layers()) {
      for (std::int64_t e = 0; e < moe->bias().size; ++e)
        moe->bias()[e] = static_cast<Real>(0.05 * std::cos(double(e)));
    }
  }
  Arena arena;
  Model<Real> model;
};

inline std::vector<std::int32_t> random_tokens(unsigned seed, std::int64_t count,
                                               std::int64_t vocabulary) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary)));
  return tokens;
}

}  // namespace moray::test
