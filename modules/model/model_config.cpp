#include "model/model_config.hpp"

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

  const ModelSizes& model = config.model;
  const MoeConfig& moe = config.moe;
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
