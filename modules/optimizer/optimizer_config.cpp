#include "optimizer/optimizer_config.hpp"

#include "config/section.hpp"

namespace moray {

namespace {

constexpr const char* kReport = "DeepSeek-V3 report, section 4.2";
constexpr double kSmallestEps = 0x1p-50;  // docs/numerics.md: denormal moments count as 0

// Two points of a schedule can be compared here only when they have the same unit.
bool in_order(const Amount& first, const Amount& second) {
  return second.value == 0 || first.unit != second.unit || first.value <= second.value;
}

}  // namespace

void declare(Section& section, OptimizerConfig& config) {
  section.key("beta1", config.beta1, "Decay of the first moment.")
      .at_least(0)
      .below(1)
      .free()
      .source(kReport);
  section.key("beta2", config.beta2, "Decay of the second moment.")
      .at_least(0)
      .below(1)
      .free()
      .source(kReport);
  section.key("eps", config.eps, "Added to the root of the second moment; at least 2^-50.")
      .at_least(kSmallestEps)
      .free()
      .source("Adam (Kingma and Ba, 2015); DeepSeek-V3's is not published");
  section.key("weight_decay", config.weight_decay, "Decoupled decay, times the learning rate.")
      .at_least(0)
      .free()
      .source(kReport);
  section
      .key("no_decay", config.no_decay,
           "Tensors without decay: names with * for any text, or 1d for every 1-D tensor.")
      .free();
  section.key("clip", config.clip, "Largest global norm of the gradient; 0: off.")
      .at_least(0)
      .free()
      .source(kReport);
  section.key("moments", config.moments, "Storage type of the moments; DeepSeek-V3 takes bf16.")
      .one_of({"float32", "bf16"});
  section
      .key("ema", config.ema,
           "Coefficient c of a moving average of the weights (c of the old, 1 - c of the new); 0: "
           "none.")
      .at_least(0)
      .below(1);
  section
      .key("non_finite", config.non_finite,
           "A loss or gradient that is not finite: stop names tensor, layer and step; skip leaves "
           "the "
           "step out.")
      .one_of({"stop", "skip"})
      .free();
}

void declare(Section& section, LearningRateConfig& config) {
  section
      .key("schedule", config.schedule,
           "deepseek: warm-up, constant, cosine, two constant tails; cosine: warm-up, cosine; wsd: "
           "warm-up, constant, linear decay; constant: warm-up, constant.")
      .one_of({"deepseek", "cosine", "wsd", "constant"});
  section.key("peak", config.peak, "Learning rate after the warm-up.").at_least(0).source(kReport);
  section
      .key("final", config.final,
           "Learning rate at the end of the cosine or of wsd's decay; the first tail of deepseek.")
      .at_least(0)
      .source(kReport);
  section.key("tail", config.tail, "deepseek: learning rate of the second tail.")
      .at_least(0)
      .source(kReport);
  section.key("warmup", config.warmup, "Length of the linear warm-up from 0.")
      .at_least(0)
      .source(kReport);
  section
      .key("constant", config.constant,
           "End of the constant part (deepseek, wsd), from the start of the run; 0: the end of the "
           "warm-up.")
      .at_least(0);
  section
      .key("decay_end", config.decay_end,
           "End of the cosine or of wsd's decay; 0: the end of the run.")
      .at_least(0);
  section
      .key("tail_start", config.tail_start, "deepseek: start of the second tail; 0: there is none.")
      .at_least(0);
  section.rule({"learning_rate.final", "learning_rate.peak"},
               "learning_rate.final is at most learning_rate.peak",
               [&] { return config.schedule == "constant" || config.final <= config.peak; });
  section.rule({"learning_rate.warmup", "learning_rate.constant", "learning_rate.decay_end",
                "learning_rate.tail_start"},
               "learning_rate.warmup, constant, decay_end and tail_start are in this order", [&] {
                 return in_order(config.warmup, config.constant) &&
                        in_order(config.warmup, config.decay_end) &&
                        in_order(config.constant, config.decay_end) &&
                        in_order(config.decay_end, config.tail_start);
               });
  section.rule({"learning_rate.schedule", "learning_rate.tail_start"},
               "learning_rate.tail_start belongs to schedule deepseek",
               [&] { return config.schedule == "deepseek" || config.tail_start.value == 0; });
}

}  // namespace moray
