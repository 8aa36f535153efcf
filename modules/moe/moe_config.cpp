#include "moe/moe_config.hpp"

#include "config/section.hpp"
#include "kernels/gate/gate.hpp"

namespace moray {

namespace {

void declare_rules(Section& section, const MoeConfig& c) {
  section.rule({"moe.experts", "moe.top_k", "moe.width"},
               "moe.top_k and moe.width are at least 1 with experts, and 0 without",
               [&] { return c.experts > 0 ? c.top_k > 0 && c.width > 0 : c.top_k + c.width == 0; });
  section.rule({"moe.experts", "moe.shared_experts"}, "moe.shared_experts needs moe.experts",
               [&] { return c.experts > 0 || c.shared_experts == 0; });
  section.rule({"moe.experts", "moe.groups"}, "moe.groups divides moe.experts",
               [&] { return c.experts % c.groups == 0; });
  section.rule({"moe.top_groups", "moe.groups"}, "moe.top_groups is at most moe.groups",
               [&] { return c.top_groups <= c.groups; });
  section.rule({"moe.top_k", "moe.experts", "moe.groups", "moe.top_groups"},
               "moe.top_k is at most moe.experts / moe.groups * moe.top_groups", [&] {
                 return c.top_k == 0 || c.experts % c.groups != 0 || c.top_groups > c.groups ||
                        c.top_k <= c.experts / c.groups * c.top_groups;
               });
  section.rule(
      {"moe.groups", "moe.experts", "moe.gate"},
      "a sigmoid gate with moe.groups above 1 has at least 2 experts a group (a group's score "
      "is the sum of its best two)",
      [&] { return c.groups == 1 || c.gate != "sigmoid" || c.experts >= 2 * c.groups; });
  section.rule({"moe.gate", "moe.bias_rate"},
               "a softmax gate has no selection bias: set moe.bias_rate to 0",
               [&] { return c.experts == 0 || c.gate != "softmax" || c.bias_rate == 0; });
  section.rule({"moe.gate", "moe.normalize"},
               "a softmax gate does not normalise again: set moe.normalize to false",
               [&] { return c.experts == 0 || c.gate != "softmax" || !c.normalize; });
  section.rule({"moe.gate", "moe.normalize"},
               "a sigmoid gate always normalises: leave moe.normalize true",
               [&] { return c.experts == 0 || c.gate != "sigmoid" || c.normalize; });
}

}  // namespace

void declare(Section& section, MoeConfig& config) {
  section.key("experts", config.experts, "Routed experts E of a layer; 0: every layer is dense.")
      .at_least(0);
  section.key("top_k", config.top_k, "Experts K that a token is sent to.")
      .at_least(0)
      .at_most(kMaxGateChoices);
  section.key("shared_experts", config.shared_experts, "Experts that see every token.").at_least(0);
  section
      .key("width", config.width,
           "FFN width of one expert; the shared ones are one FFN of as many times that.")
      .at_least(0);
  section.key("groups", config.groups, "Groups G of experts for group-limited routing.")
      .at_least(1)
      .at_most(kMaxGateGroups);
  section.key("top_groups", config.top_groups, "Groups that a token's experts may come from.")
      .at_least(1);
  section
      .key("gate", config.gate,
           "sigmoid (DeepSeek-V3: selection bias, normalised weights) or softmax (DeepSeek-V2).")
      .one_of({"sigmoid", "softmax"})
      .source("DeepSeek-V3 report, equation 15");
  section
      .key("normalize", config.normalize,
           "Divide a token's weights by their sum: true for sigmoid, false for softmax.")
      .source("DeepSeek-V3 report, equation 13");
  section.key("scale", config.scale, "Factor on the weights; DeepSeek-V3 takes 2.5.").above(0);
  section
      .key("bias_rate", config.bias_rate,
           "Step gamma of the selection bias that balances the loads; 0: no such bias is moved.")
      .at_least(0)
      .free()
      .source("DeepSeek-V3 report, section 4.2");
  section.key("bias_until", config.bias_until, "Gamma is 0 from here on; 0: never.")
      .at_least(0)
      .free();
  section
      .key("sequence_loss", config.sequence_loss,
           "Coefficient alpha of the sequence-wise balance loss; 0: off.")
      .at_least(0)
      .free()
      .source("DeepSeek-V3 report, section 4.2");
  declare_rules(section, config);
}

}  // namespace moray
