#pragma once

#include <cstdint>
#include <vector>

#include "attention/attention_config.hpp"
#include "core/arena.hpp"

namespace moray {

/// True when YaRN changes frequencies and the softmax factor: factor > 1 and
/// max_length > original_length.
bool yarn_is_on(const AttentionConfig& config);

/// Inverse frequencies (rope_width / 2) after YaRN's blend: the float32 nearest to the real value.
/// theta^(-2i/r), blended as f / factor (1 - smooth) + f smooth with smooth = 1 - ramp between the
/// correction dimensions of beta_fast and beta_slow (DeepSeek-V3 report, section 4.3).
std::vector<float> inverse_frequencies(const AttentionConfig& config);

/// 1 / sqrt(nope + rope), times mscale² with mscale = 0.1 coefficient ln(factor) + 1 under YaRN;
/// the float32 nearest to the real value.
float softmax_scale(const AttentionConfig& config);

/// cos and sin of the float32 product of inverse frequency and position, correctly rounded:
/// (positions, rope_width / 2) each. Shared by all layers.
template <class Real>
class RotaryTable {
 public:
  RotaryTable() = default;
  /// Takes memory from `arena`; fill() computes the values once it is real.
  RotaryTable(Arena& arena, const AttentionConfig& config, std::int64_t positions);
  void fill(const AttentionConfig& config);

  /// The table of `count` positions alone.
  RotaryTable at(std::int64_t position, std::int64_t count) const {
    RotaryTable part;
    part.cosine_ = cosine_.row_range(position, count);
    part.sine_ = sine_.row_range(position, count);
    return part;
  }

  Matrix<const Real> cosine() const { return cosine_; }
  Matrix<const Real> sine() const { return sine_; }

 private:
  Matrix<Real> cosine_;
  Matrix<Real> sine_;
};

}  // namespace moray
