#pragma once

#include <cstdint>
#include <string>

namespace moray {

class Section;

/// Deck section `attention.yarn`: context extension of the rotary part (Peng et al., 2023).
struct YarnConfig {
  double factor = 1;                 ///< > 1 and max_length > original_length switch YaRN on
  std::int64_t original_length = 0;  ///< 0: not given; needed when factor > 1
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;  ///< the softmax factor's coefficient (mscale_all_dim)
  friend bool operator==(const YarnConfig&, const YarnConfig&) = default;
};
void declare(Section& section, YarnConfig& config);

/// Deck section `attention`.
struct AttentionConfig {
  std::string type = "mla";
  std::int64_t heads = 0;
  std::int64_t nope_width = 128;
  std::int64_t rope_width = 64;
  std::int64_t value_width = 128;
  std::int64_t latent = 512;      ///< kv_lora_rank
  std::int64_t query_latent = 0;  ///< q_lora_rank; 0: a plain query projection
  double rope_theta = 10000;
  std::int64_t max_length = 4096;  ///< positions that the model is made for
  YarnConfig yarn;
  friend bool operator==(const AttentionConfig&, const AttentionConfig&) = default;
};
void declare(Section& section, AttentionConfig& config);

}  // namespace moray
