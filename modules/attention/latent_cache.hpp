#pragma once

#include "attention/attention_config.hpp"
#include "core/arena.hpp"

namespace moray {

/// What attention remembers of each position for decoding, and all that it needs: the normed latent
/// and the rotated key that the heads share, c + rope elements a token and layer (DeepSeek-V3
/// report, section 2.1.1; 70,272 bytes a token of the 671 B model in bf16).
template <class Real>
struct LatentCache {
  LatentCache() = default;
  /// The caches of all layers share the workspace behind `entries`, which is for `chunk` positions
  /// of each sequence at a time.
  LatentCache(Arena& arena, const AttentionConfig& config, std::int64_t sequences,
              std::int64_t positions_, std::int64_t chunk)
      : positions(positions_), width(config.latent + config.rope_width) {
    const std::int64_t queries = sequences * chunk;
    entries = arena.matrix<Real>(Memory::activations, sequences * positions, width);
    query = arena.shared_matrix<Real>("decode.query", queries, config.heads * width);
    scores = arena.shared_matrix<Real>("decode.scores", queries * config.heads, positions);
    mixed = arena.shared_matrix<Real>("decode.mixed", queries, config.heads * config.latent);
  }

  /// [latent | rotary key] of the first `count` positions of a sequence, (count, c + rope).
  Matrix<Real> of(std::int64_t sequence, std::int64_t count) const {
    return entries.row_range(sequence * positions, count);
  }

  std::int64_t positions = 0;  ///< that fit
  std::int64_t width = 0;      ///< c + rope
  Matrix<Real> entries;        ///< (B positions, c + rope)
  Matrix<Real> query;          ///< (B chunk, H (c + rope)): [q_nope W_UK | q_pe]
  Matrix<Real> scores;         ///< (B chunk H, positions)
  Matrix<Real> mixed;          ///< (B chunk, H c): latents weighted by their probabilities
};

}  // namespace moray
