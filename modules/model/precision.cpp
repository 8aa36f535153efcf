#include "model/precision.hpp"

#include "config/section.hpp"

namespace moray {
namespace {

constexpr std::string_view kWeight = ".weight";

Compute compute_named(std::string_view name) {
  return name == "fp8" ? Compute::fp8 : name == "bf16" ? Compute::bf16 : Compute::float32;
}

Cache cache_named(std::string_view name) {
  return name == "e5m6"   ? Cache::e5m6
         : name == "e4m3" ? Cache::e4m3
         : name == "bf16" ? Cache::bf16
                          : Cache::float32;
}

/// FP8 caches belong to FP8 products; bf16 ones keep bf16.
Cache cache_for(Compute reader, std::string_view name) {
  if (reader == Compute::float32) return Cache::float32;
  const Cache wanted = cache_named(name);
  return reader == Compute::bf16 && wanted != Cache::float32 ? Cache::bf16 : wanted;
}

}  // namespace

bool name_matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, after = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Compute PrecisionConfig::of(std::string_view weight) const {
  if (weight == "model.embed_tokens.weight" || weight == "lm_head.weight" ||
      weight.ends_with(".mlp.gate.weight")) {
    return Compute::float32;
  }
  std::string_view module = weight;
  if (module.ends_with(kWeight)) module.remove_suffix(kWeight.size());
  Compute result = compute_named(compute);
  for (const auto& [pattern, name] : overrides) {
    if (name_matches(pattern, module)) result = compute_named(name);
  }
  return result;
}

Accumulation PrecisionConfig::accumulation() const {
  return accumulator == "exact"              ? Accumulation::exact
         : accumulator == "limited_promoted" ? Accumulation::limited_promoted
                                             : Accumulation::limited;
}

Cache PrecisionConfig::attention_cache(Compute reader) const {
  return cache_for(reader, attention_output);
}
Cache PrecisionConfig::swiglu_cache(Compute reader) const {
  return cache_for(reader, swiglu_input);
}

void declare(Section& section, PrecisionConfig& config) {
  section.shorthand("compute");
  section
      .key("compute", config.compute,
           "What the products of every Linear read, forward and backward: float32, bf16, or FP8 "
           "(E4M3) with a scale for each block. Embedding, head, gates, norms, attention core, "
           "residual stream, master weights and gradients are float32 always.")
      .one_of({"float32", "bf16", "fp8"});
  section
      .key("overrides", config.overrides,
           "Modules that compute otherwise: patterns of their names, in which * stands for "
           "anything; the last that matches counts.")
      .one_of({"float32", "bf16", "fp8"});
  section
      .key("scales", config.scales,
           "Scales of FP8 blocks. What is sent to experts and what is kept as E5M6 always has "
           "powers "
           "of two. Under run.determinism run a vendor's products need power_of_two.")
      .one_of({"float32", "power_of_two"})
      .source("DeepSeek-V3 report, section 3.3");
  section
      .key("attention_output", config.attention_output,
           "What is kept, and read, of the attention core's output where o_proj computes in FP8.")
      .one_of({"e5m6", "e4m3", "bf16", "float32"})
      .source("DeepSeek-V3 report, section 3.3.3");
  section
      .key("swiglu_input", config.swiglu_input,
           "What is kept of SwiGLU's input for the backward where down_proj computes in FP8.")
      .one_of({"e4m3", "bf16", "float32"})
      .source("DeepSeek-V3 report, section 3.3.3");
  section
      .key("gradient_scales", config.gradient_scales,
           "For ablations: values of activation gradients are first rounded with a scale for each "
           "128 x 128 block, or for all channels of 128 tokens.")
      .one_of({"token", "block", "tensor"});
  section
      .key("value_scales", config.value_scales,
           "For ablations: activations and weights are first rounded with a scale for all "
           "channels of 128 tokens, or for a whole weight.")
      .one_of({"block", "tensor"});
  section
      .key("accumulator", config.accumulator,
           "For ablations: FP8 products summed by a model of Hopper's accumulator of 14 bits, "
           "promoted to float32 after each block, or not at all.")
      .one_of({"exact", "limited_promoted", "limited"});
  section.rule({"precision.gradient_scales", "precision.value_scales", "precision.scales"},
               "coarser scales of an ablation need precision.scales = power_of_two",
               [&] { return !config.coarse() || config.scales == "power_of_two"; });
}

}  // namespace moray
