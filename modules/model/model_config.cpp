#include "model/model_config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/section.hpp"

namespace moray {

void declare(Section& section, ModelSizes& config) {
  section.key("vocabulary", config.vocabulary, "Tokens V of embedding and head.")
      .required()
      .at_least(2);
  section.key("width", config.width, "Model width D.").required().at_least(1);
  section.key("layers", config.layers, "Layers L, without those of multi-token prediction.")
      .required()
      .at_least(1);
  section
      .key("dense_layers", config.dense_layers,
           "So many layers at the start have a dense FFN; without experts all have.")
      .at_least(0);
  section.key("dense_width", config.dense_width, "FFN width of the dense layers.").at_least(0);
  section.key("norm_eps", config.norm_eps, "Added to the mean square in RMSNorm.")
      .above(0)
      .source("DeepSeek-V3, published configuration");
  section
      .key("init_std", config.init_std,
           "Standard deviation of the initial weights; small models take more, about 1 / "
           "sqrt(width).")
      .at_least(0)
      .source("DeepSeek-V3 report, section 4.2");
}

void declare_head(Section& section, ModelSizes& config) {
  section
      .key("chunk", config.head_chunk,
           "Logits of at most so many tokens exist at a time; no bit depends on it.")
      .at_least(1)
      .unit("tokens");
}

std::vector<LinearModules> linear_modules(const ModelConfig& config) {
  std::vector<LinearModules> all;
  const std::int64_t width = config.model.width;
  const AttentionConfig& attention = config.attention;
  const MoeConfig& moe = config.moe;
  const auto add = [&](std::vector<std::string> names, std::int64_t in, std::int64_t out) {
    all.push_back({std::move(names), in, out});
  };
  const auto add_ffn = [&](const std::string& prefix, std::int64_t hidden) {
    add({prefix + "gate_proj", prefix + "up_proj"}, width, 2 * hidden);
    add({prefix + "down_proj"}, hidden, width);
  };
  for (std::int64_t layer = 0; layer < config.model.layers + config.mtp.depth; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    if (layer >= config.model.layers) add({prefix + "eh_proj"}, 2 * width, width);
    const std::string mla = prefix + "self_attn.";
    const std::int64_t queries = attention.heads * (attention.nope_width + attention.rope_width);
    const std::int64_t keys = attention.latent + attention.rope_width;
    if (attention.query_latent > 0) {
      add({mla + "q_a_proj", mla + "kv_a_proj_with_mqa"}, width, attention.query_latent + keys);
      add({mla + "q_b_proj"}, attention.query_latent, queries);
    } else {
      add({mla + "q_proj", mla + "kv_a_proj_with_mqa"}, width, queries + keys);
    }
    add({mla + "kv_b_proj"}, attention.latent,
        attention.heads * (attention.nope_width + attention.value_width));
    add({mla + "o_proj"}, attention.heads * attention.value_width, width);
    const bool trunk = layer < config.model.layers;
    if (moe.experts == 0 || (trunk && layer < config.model.dense_layers)) {
      add_ffn(prefix + "mlp.", config.model.dense_width);
      continue;
    }
    LinearModules gate_up{{}, width, 2 * moe.width}, down{{}, moe.width, width};
    for (std::int64_t e = 0; e < moe.experts; ++e) {
      const std::string expert = fmt::format("{}mlp.experts.{}.", prefix, e);
      gate_up.names.push_back(expert + "gate_proj");
      gate_up.names.push_back(expert + "up_proj");
      down.names.push_back(expert + "down_proj");
    }
    all.push_back(std::move(gate_up));
    all.push_back(std::move(down));
    if (moe.shared_experts > 0)
      add_ffn(prefix + "mlp.shared_experts.", moe.shared_experts * moe.width);
  }
  return all;
}

namespace {

/// The first pattern of precision.overrides that matches no module, or an empty string.
std::string unmatched_override(const ModelConfig& config) {
  if (config.precision.overrides.empty()) return "";
  const std::vector<LinearModules> products = linear_modules(config);
  for (const auto& [pattern, compute] : config.precision.overrides) {
    bool found = false;
    for (const LinearModules& product : products) {
      for (const std::string& name : product.names) found = found || name_matches(pattern, name);
    }
    if (!found) {
      return fmt::format("'{}' matches no module; modules are named like '{}'", pattern,
                         products.front().names.front());
    }
  }
  return "";
}

/// The first two modules of a product that compute differently, or an empty string.
std::string unlike_modules(const ModelConfig& config) {
  if (config.precision.overrides.empty()) return "";
  for (const LinearModules& product : linear_modules(config)) {
    const Compute compute = config.precision.of(product.names.front() + ".weight");
    for (const std::string& name : product.names) {
      if (config.precision.of(name + ".weight") != compute)
        return fmt::format("'{}' and '{}' are one product", product.names.front(), name);
    }
  }
  return "";
}

/// The first FP8 product that sums over less than a block, or an empty string.
std::string shallow_product(const ModelConfig& config) {
  if (!config.precision.low()) return "";
  for (const LinearModules& product : linear_modules(config)) {
    const std::int64_t least = std::min(product.in, product.out);
    if (least < kScaleBlock &&
        config.precision.of(product.names.front() + ".weight") == Compute::fp8)
      return fmt::format("'{}' sums over {}", product.names.front(), least);
  }
  return "";
}

}  // namespace

void declare(Section& root, ModelConfig& config) {
  declare(root.section("model", "Sizes of the whole model.", Resume::fixed), config.model);
  declare(root.section("attention", "Multi-head latent attention.", Resume::fixed),
          config.attention);
  declare(root.section("moe", "Mixture of experts: gate, load balance, experts.", Resume::fixed),
          config.moe);
  declare(root.section("mtp", "Multi-token prediction (DeepSeek-V3 report, section 2.2).",
                       Resume::fixed),
          config.mtp);
  declare_head(root.section("head", "Output head and cross-entropy.", Resume::free), config.model);

  declare(root.section("precision", "Low precision: docs/fp8.md.", Resume::fixed),
          config.precision);

  const ModelSizes& model = config.model;
  const MoeConfig& moe = config.moe;
  root.detailed_rule({"precision.overrides"}, "precision.overrides names modules",
                     [&] { return unmatched_override(config); });
  root.detailed_rule({"precision.overrides", "precision.compute"},
                     "modules of one product compute alike",
                     [&] { return unlike_modules(config); });
  root.detailed_rule({"precision.compute", "precision.overrides"},
                     "a product in FP8 sums over at least 128 values",
                     [&] { return shallow_product(config); });
  root.rule({"model.dense_layers", "model.layers"}, "model.dense_layers is at most model.layers",
            [&] { return model.dense_layers <= model.layers; });
  root.rule({"model.dense_width", "model.dense_layers", "moe.experts"},
            "model.dense_width is given when there is a dense layer",
            [&] { return model.dense_width > 0 || (model.dense_layers == 0 && moe.experts > 0); });
  root.rule({"mtp.depth", "moe.experts"},
            "mtp.depth needs moe.experts: the block of a module is a mixture of experts",
            [&] { return config.mtp.depth == 0 || moe.experts > 0; });
}

}  // namespace moray
