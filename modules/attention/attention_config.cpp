#include "attention/attention_config.hpp"

#include "config/section.hpp"

namespace moray {

void declare(Section& section, YarnConfig& config) {
  section.key("factor", config.factor, "How many times longer than the original length; 1: off.")
      .at_least(1)
      .source("off, as in DeepSeek-V3's pre-training; its extension takes 40");
  section
      .key("original_length", config.original_length,
           "Positions that the model was first trained for; needed when the factor is above 1.")
      .at_least(0)
      .unit("positions");
  section.key("beta_fast", config.beta_fast, "Rotations above which a frequency stays as it is.")
      .above(0)
      .source("DeepSeek-V3 report, section 4.3");
  section
      .key("beta_slow", config.beta_slow,
           "Rotations below which a frequency is divided by the factor.")
      .above(0)
      .source("DeepSeek-V3 report, section 4.3");
  section
      .key("mscale", config.mscale,
           "Coefficient of the softmax factor (0.1 mscale ln(factor) + 1)^2.")
      .at_least(0)
      .source("DeepSeek-V3, published configuration (mscale_all_dim)");
  section.rule({"attention.yarn.factor", "attention.yarn.original_length"},
               "attention.yarn.factor above 1 needs attention.yarn.original_length",
               [&] { return config.factor == 1 || config.original_length > 0; });
  section.rule({"attention.yarn.beta_fast", "attention.yarn.beta_slow"},
               "attention.yarn.beta_fast is more than attention.yarn.beta_slow",
               [&] { return config.beta_fast > config.beta_slow; });
}

void declare(Section& section, AttentionConfig& config) {
  const char* const kPublished = "DeepSeek-V3, published configuration";
  section.key("type", config.type, "The implementation: mla, multi-head latent attention.")
      .one_of({"mla"});
  section.key("heads", config.heads, "Attention heads H.").required().at_least(1);
  section.key("nope_width", config.nope_width, "Width of a head's query and key without position.")
      .at_least(1)
      .source(kPublished);
  section
      .key("rope_width", config.rope_width,
           "Width of a head's rotary query and of the one rotary key.")
      .at_least(2)
      .even()
      .source(kPublished);
  section.key("value_width", config.value_width, "Width of a head's value.")
      .at_least(1)
      .source(kPublished);
  section.key("latent", config.latent, "Width of the compressed keys and values (kv_lora_rank).")
      .at_least(1)
      .source(kPublished);
  section
      .key("query_latent", config.query_latent,
           "Width of the compressed query (q_lora_rank); 0: a plain query projection.")
      .at_least(0)
      .source("DeepSeek-V2-Lite; DeepSeek-V3 takes 1536");
  section.key("rope_theta", config.rope_theta, "Base of the rotary frequencies.")
      .above(1)
      .source(kPublished);
  section
      .key("max_length", config.max_length,
           "Positions that the model is made for; above attention.yarn.original_length, and with a "
           "factor above 1, YaRN is on.")
      .at_least(1)
      .unit("positions")
      .source("DeepSeek-V3 report, section 4.2");
  declare(section.section("yarn", "Context extension of the rotary part (Peng et al., 2023).",
                          Resume::fixed),
          config.yarn);
}

}  // namespace moray
