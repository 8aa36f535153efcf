#pragma once

#include <string>

#include "attention/attention_config.hpp"
#include "attention/latent_cache.hpp"
#include "attention/rotary.hpp"
#include "core/arena.hpp"
#include "kernels/attention/attention.hpp"
#include "model/kept.hpp"
#include "model/linear.hpp"

namespace moray {

/// Multi-head latent attention (DeepSeek-V3 report, section 2.1.1, equations 1 to 11), the naive
/// form for training: queries and keys are [nope | rope], one rotary key is shared by all heads.
///
///   down    [q_a | kv_a] of the normed input in one product; without query compression [q | kv_a]
///   q       q_b(q_a_layernorm(q_a)), rotated and scaled      (T, H (nope + rope))
///   kv      kv_b(kv_a_layernorm(kv_a[:c]))                   (T, H (nope + value))
///   k_pe    kv_a[c:], rotated in place, never normed         (T, rope)
///   o_proj  of the attention core's output                   (T, H value) -> (T, D)
template <class Real>
class Mla {
 public:
  /// Kept by the forward for the backward of one micro-batch. With recompute the up-projected q
  /// and kv live in buffers that all layers share. Of `down` and `o` fewer bits may be kept: forward
  /// and backward then read the same rounded values.
  struct Slot {
    Matrix<Real> down;
    Matrix<Real> latent_q;   ///< normed (T, query_latent)
    Matrix<Real> latent_kv;  ///< normed (T, c)
    Matrix<Real> q;
    Matrix<Real> kv;
    Vector<Real> r_q, r_kv;
    Matrix<Real> m, l;  ///< (T, H)
    Matrix<Real> o;
    Kept kept_down, kept_o;
  };
  /// Written by backward_input for backward_weight.
  struct Deferred {
    Matrix<Real> dout;  ///< (T, D)
    Matrix<Real> dq;    ///< (T, H (nope + rope))
    Matrix<Real> dkv;   ///< (T, H (nope + value))
    Matrix<Real> ddown;
  };

  Mla() = default;
  /// `prefix` is "model.layers.3.self_attn."; width is D.
  Mla(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width, double eps,
      const AttentionConfig& config);

  Slot make_slot(Arena& arena, std::int64_t sequences, std::int64_t rows, bool recompute) const;
  Deferred make_deferred(Arena& arena, std::int64_t tokens, bool own = false) const;
  /// Buffers shared by all layers; once a layer, so that the largest request counts.
  void make_workspace(Arena& arena, std::int64_t sequences, std::int64_t rows);

  /// x (T, D) normed input; out (T, D).
  void forward(Pass<Real>& pass, const RowLayout& rows, const RotaryTable<Real>& table,
               const Input<Real>& x, Slot& slot, Matrix<Real> out) const;
  /// The positions from `position` on of each sequence, rows.rows of them, for generation: x (T, D),
  /// out (T, D), a slot of T rows. Reads and extends the cache; the same function as forward up to
  /// rounding. The bits of a position depend neither on the sequences beside it nor on how many
  /// positions are read at a time.
  void decode(Pass<Real>& pass, const RowLayout& rows, const RotaryTable<Real>& table,
              std::int64_t position, Matrix<const Real> x, Slot& slot,
              const LatentCache<Real>& cache, Matrix<Real> out) const;
  /// dx (T, D) from dout (T, D), which is kept in `deferred`. Recomputes q and kv when asked.
  void backward_input(Pass<Real>& pass, const RowLayout& rows, const RotaryTable<Real>& table,
                      bool recompute, Matrix<const Real> dout, Slot& slot, Deferred& deferred,
                      Matrix<Real> dx) const;
  /// Gradients of the five projections; x (T, D) as in forward.
  void backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                       const Input<Real>& x, Slot& slot, const Deferred& deferred) const;

  const AttentionConfig& config() const { return config_; }
  Real scale() const { return scale_; }
  bool compressed_query() const { return config_.query_latent > 0; }
  const Linear<Real>& down() const { return down_; }
  const Linear<Real>& q_b() const { return q_b_; }
  const Linear<Real>& kv_b() const { return kv_b_; }
  const Linear<Real>& o_proj() const { return o_proj_; }
  const Norm<Real>& q_norm() const { return q_norm_; }
  const Norm<Real>& kv_norm() const { return kv_norm_; }

 private:
  std::int64_t query_width() const {
    return config_.heads * (config_.nope_width + config_.rope_width);
  }
  std::int64_t kv_width() const {
    return config_.heads * (config_.nope_width + config_.value_width);
  }
  /// Columns of `down`: [q part | latent | rotary key].
  std::int64_t query_part() const {
    return compressed_query() ? config_.query_latent : query_width();
  }
  AttentionShape shape(const RowLayout& rows) const;
  Matrix<Real> latent_part(const Matrix<Real>& down) const {
    return down.column_range(query_part(), config_.latent);
  }
  Matrix<Real> rotary_part(const Matrix<Real>& down) const {
    return down.column_range(query_part() + config_.latent, config_.rope_width);
  }
  /// q from the latent: projected, rotated, scaled.
  void up_query(Pass<Real>& pass, std::int64_t rows, const RotaryTable<Real>& table,
                Slot& slot) const;
  // The parts of decode, in order.
  void append(Pass<Real>& pass, const RowLayout& rows, const Slot& slot, std::int64_t position,
              const LatentCache<Real>& cache) const;
  void absorb_query(Pass<Real>& pass, Matrix<const Real> q, const LatentCache<Real>& cache) const;
  void mix_latents(Pass<Real>& pass, const RowLayout& rows, std::int64_t position,
                   const LatentCache<Real>& cache) const;
  void absorb_value(Pass<Real>& pass, const LatentCache<Real>& cache, Matrix<Real> o) const;

  AttentionConfig config_;
  PrecisionConfig precision_;
  Real scale_ = 0;
  Linear<Real> down_, q_b_, kv_b_, o_proj_;
  Norm<Real> q_norm_, kv_norm_;
  Matrix<Real> d_o_;  ///< workspace (T, H value)
  Vector<std::byte> workspace_;
};

}  // namespace moray
