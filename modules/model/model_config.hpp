#pragma once

#include <cstdint>
#include <string>

#include "attention/attention_config.hpp"
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
  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// Sections model, attention, moe, mtp and head.
void declare(Section& root, ModelConfig& config);

}  // namespace moray
