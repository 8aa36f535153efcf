#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/mixed_gemm/mixed_numbers.hpp"
#include "kernels/quantize/quantize_rule.hpp"

namespace moray {

class Section;

/// What the products of a Linear read: docs/fp8.md section 4.
enum class Compute { float32, bf16, fp8 };

/// How a tensor is kept from the forward for the backward.
enum class Cache { float32, bf16, e4m3, e5m6 };

/// Deck section `precision`. Its defaults under `compute: fp8` are DeepSeek-V3's (report, section 3.3).
struct PrecisionConfig {
  std::string compute = "float32";  ///< float32 | bf16 | fp8
  /// Modules whose products are computed otherwise: a pattern of names, and what; the last that
  /// matches counts.
  std::vector<std::pair<std::string, std::string>> overrides = {};
  std::string scales = "float32";         ///< float32 | power_of_two
  std::string attention_output = "e5m6";  ///< e5m6 | e4m3 | bf16 | float32
  std::string swiglu_input = "e4m3";      ///< e4m3 | bf16 | float32
  std::string gradient_scales = "token";  ///< token | block | tensor
  std::string value_scales = "block";     ///< block | tensor: activations and weights
  std::string accumulator = "exact";      ///< exact | limited_promoted | limited
  friend bool operator==(const PrecisionConfig&, const PrecisionConfig&) = default;

  bool low() const { return compute != "float32" || !overrides.empty(); }
  /// Of the product with a weight, named as in a checkpoint: "model.layers.3.mlp.gate.weight".
  /// Embedding, head and the gate of a mixture of experts always stay float32.
  Compute of(std::string_view weight) const;
  /// Whether an ablation rounds values with coarser scales first.
  bool coarse() const { return gradient_scales != "token" || value_scales != "block"; }
  ScaleRule scale_rule() const {
    return scales == "float32" ? ScaleRule::float32 : ScaleRule::power_of_two;
  }
  Accumulation accumulation() const;
  /// What is kept of the attention core's output and of SwiGLU's input, for a Linear that computes
  /// in `reader` with them.
  Cache attention_cache(Compute reader) const;
  Cache swiglu_cache(Compute reader) const;
};

/// Whether a name of a module matches a pattern, in which * stands for any characters.
bool name_matches(std::string_view pattern, std::string_view name);

void declare(Section& section, PrecisionConfig& config);

}  // namespace moray
