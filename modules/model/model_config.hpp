#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attention/attention_config.hpp"
#include "model/precision.hpp"
#include "moe/moe_config.hpp"
#include "mtp/mtp_config.hpp"

namespace moray {

class Section;

/// Deck section `model`.
struct ModelSizes {
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;   ///< D
  std::int64_t layers = 0;  ///< without MTP
  std::int64_t dense_layers =
      0;                         ///< the first ones have a dense FFN; all when there are no experts
  std::int64_t dense_width = 0;  ///< F of the dense FFN
  double norm_eps = 1e-6;
  double init_std = 0.006;
  std::int64_t head_chunk = 4096;  ///< logits of at most so many tokens at a time
  friend bool operator==(const ModelSizes&, const ModelSizes&) = default;
};
void declare(Section& section, ModelSizes& config);

/// Everything that fixes the tensors of a model.
struct ModelConfig {
  ModelSizes model;
  AttentionConfig attention;
  MoeConfig moe;
  MtpConfig mtp;
  PrecisionConfig precision;
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// The modules of one product, whose weights follow each other, and its extents.
struct LinearModules {
  std::vector<std::string> names;  ///< "model.layers.3.self_attn.o_proj"
  std::int64_t in = 0;
  std::int64_t out = 0;
};
/// Every product that may compute in low precision. The experts of a layer are one product each for
/// gate|up and down: they run as one launch.
std::vector<LinearModules> linear_modules(const ModelConfig& config);

/// Sections model, attention, moe, mtp, head and precision.
void declare(Section& root, ModelConfig& config);

}  // namespace moray
