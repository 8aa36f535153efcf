#include "attention/attention.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/rope/rope.hpp"

namespace moray {

template <class Real>
Mla<Real>::Mla(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
               double eps, const AttentionConfig& config)
    : config_(config),
      precision_(parameters.precision()),
      scale_(static_cast<Real>(softmax_scale(config))) {
  const std::int64_t latent_rows = config.latent + config.rope_width;
  const std::string kv_a = prefix + "kv_a_proj_with_mqa.weight";
  if (compressed_query()) {
    down_ = Linear<Real>(parameters, Region::dense, width,
                         {{prefix + "q_a_proj.weight", config.query_latent}, {kv_a, latent_rows}});
    q_norm_ = Norm<Real>(parameters, prefix + "q_a_layernorm.weight", config.query_latent, eps);
    q_b_ = Linear<Real>(parameters, Region::dense, config.query_latent,
                        {{prefix + "q_b_proj.weight", query_width()}});
  } else {
    down_ = Linear<Real>(parameters, Region::dense, width,
                         {{prefix + "q_proj.weight", query_width()}, {kv_a, latent_rows}});
  }
  kv_norm_ = Norm<Real>(parameters, prefix + "kv_a_layernorm.weight", config.latent, eps);
  kv_b_ = Linear<Real>(parameters, Region::dense, config.latent,
                       {{prefix + "kv_b_proj.weight", kv_width()}});
  o_proj_ = Linear<Real>(parameters, Region::dense, config.heads * config.value_width,
                         {{prefix + "o_proj.weight", width}});
}

template <class Real>
typename Mla<Real>::Slot Mla<Real>::make_slot(Arena& arena, std::int64_t sequences,
                                              std::int64_t rows, bool recompute) const {
  const std::int64_t tokens = sequences * rows;
  for (const Linear<Real>* linear : {&down_, &q_b_, &kv_b_, &o_proj_})
    linear->make_workspace(arena, precision_, sequences, rows);
  const auto keep = [&](std::int64_t cols) {
    return arena.matrix<Real>(Memory::activations, tokens, cols);
  };
  const auto transient = [&](const char* key, std::int64_t cols) {
    return recompute ? arena.shared_matrix<Real>(key, tokens, cols) : keep(cols);
  };
  const auto in_bits = [&](Cache cache, const char* key, std::int64_t cols, Kept& kept) {
    kept = Kept(arena, cache, tokens, cols);
    return kept.low() ? arena.shared_matrix<Real>(key, tokens, cols) : keep(cols);
  };
  Slot slot;
  slot.down = in_bits(down_.low() ? Cache::bf16 : Cache::float32, "attention.down", down_.out(),
                      slot.kept_down);
  slot.latent_kv = transient("attention.latent_kv", config_.latent);
  slot.kv = transient("attention.kv", kv_width());
  slot.r_kv = arena.vector<Real>(Memory::activations, tokens);
  if (compressed_query()) {
    slot.latent_q = transient("attention.latent_q", config_.query_latent);
    slot.q = transient("attention.q", query_width());
    slot.r_q = arena.vector<Real>(Memory::activations, tokens);
  } else {
    slot.q = slot.down.column_range(0, query_width());
  }
  slot.m = keep(config_.heads);
  slot.l = keep(config_.heads);
  slot.o = in_bits(precision_.attention_cache(o_proj_.compute()), "attention.o",
                   config_.heads * config_.value_width, slot.kept_o);
  return slot;
}

template <class Real>
typename Mla<Real>::Deferred Mla<Real>::make_deferred(Arena& arena, std::int64_t tokens,
                                                      bool own) const {
  const auto take = [&](const char* key, std::int64_t cols) {
    return arena.deferred_matrix<Real>(key, tokens, cols, own);
  };
  Deferred deferred;
  deferred.dout = take("attention.dout", o_proj_.out());
  deferred.ddown = take("attention.ddown", down_.out());
  deferred.dkv = take("attention.dkv", kv_width());
  deferred.dq = compressed_query() ? take("attention.dq", query_width())
                                   : deferred.ddown.column_range(0, query_width());
  return deferred;
}

template <class Real>
void Mla<Real>::make_workspace(Arena& arena, std::int64_t sequences, std::int64_t rows) {
  const AttentionShape largest{
      sequences, rows, config_.heads, config_.nope_width, config_.rope_width, config_.value_width};
  d_o_ = arena.shared_matrix<Real>("attention.d_o", sequences * rows,
                                   config_.heads * config_.value_width);
  workspace_ =
      arena.shared_vector<std::byte>("attention.workspace", attention_workspace<Real>(largest));
}

template <class Real>
AttentionShape Mla<Real>::shape(const RowLayout& rows) const {
  return {rows.batch->sequences(), rows.rows,          config_.heads,
          config_.nope_width,      config_.rope_width, config_.value_width};
}

template <class Real>
void Mla<Real>::up_query(Pass<Real>& pass, std::int64_t rows, const RotaryTable<Real>& table,
                         Slot& slot) const {
  if (compressed_query()) q_b_.forward(pass, slot.latent_q, slot.q);
  const std::int64_t head = config_.nope_width + config_.rope_width;
  rope<Real>(pass.exec, table.cosine(), table.sine(),
             {config_.heads, config_.nope_width, head, config_.rope_width}, rows, false, slot.q);
  moray::scale(pass.exec, scale_, slot.q);
}

template <class Real>
void Mla<Real>::forward(Pass<Real>& pass, const RowLayout& rows, const RotaryTable<Real>& table,
                        const Input<Real>& x, Slot& slot, Matrix<Real> out) const {
  down_.forward(pass, x, slot.down);
  observe(pass, "down", slot.down);
  if (compressed_query()) {
    q_norm_.forward(pass, slot.down.column_range(0, config_.query_latent), slot.latent_q, slot.r_q);
    observe(pass, "q_norm", slot.latent_q);
  }
  up_query(pass, rows.rows, table, slot);
  observe(pass, "q", slot.q);
  kv_norm_.forward(pass, latent_part(slot.down), slot.latent_kv, slot.r_kv);
  observe(pass, "kv_norm", slot.latent_kv);
  kv_b_.forward(pass, slot.latent_kv, slot.kv);
  observe(pass, "kv", slot.kv);
  const Matrix<Real> k_pe = rotary_part(slot.down);
  rope<Real>(pass.exec, table.cosine(), table.sine(), {1, 0, 0, config_.rope_width}, rows.rows,
             false, k_pe);
  slot.kept_down.keep(pass.exec, precision_.scale_rule(), slot.down);
  slot.kept_down.restore(pass.exec, slot.down);
  observe(pass, "k_pe", k_pe);
  attention_forward<Real>(pass.exec, shape(rows), slot.q, slot.kv, k_pe, workspace_, slot.m, slot.l,
                          slot.o);
  slot.kept_o.keep(pass.exec, precision_.scale_rule(), slot.o);
  slot.kept_o.restore(pass.exec, slot.o);
  observe(pass, "m", slot.m);
  observe(pass, "l", slot.l);
  observe(pass, "o", slot.o);
  o_proj_.forward(pass, slot.o, out);
}

template <class Real>
void Mla<Real>::backward_input(Pass<Real>& pass, const RowLayout& rows,
                               const RotaryTable<Real>& table, bool recompute,
                               Matrix<const Real> dout, Slot& slot, Deferred& deferred,
                               Matrix<Real> dx) const {
  const Matrix<Real> latent = latent_part(slot.down);
  const Matrix<Real> k_pe = rotary_part(slot.down);
  slot.kept_down.restore(pass.exec, slot.down);
  slot.kept_o.restore(pass.exec, slot.o);
  if (recompute) {
    const Uncounted<Real> again(pass);
    if (compressed_query()) {
      q_norm_.recompute(pass, slot.down.column_range(0, config_.query_latent), slot.r_q,
                        slot.latent_q);
      up_query(pass, rows.rows, table, slot);
    }
    kv_norm_.recompute(pass, latent, slot.r_kv, slot.latent_kv);
    kv_b_.forward(pass, slot.latent_kv, slot.kv);
  }
  copy<Real>(pass.exec, dout, deferred.dout);
  o_proj_.backward_input(pass, dout, d_o_);
  observe(pass, "do", d_o_);
  attention_backward<Real>(pass.exec, shape(rows), scale_, d_o_, slot.o, slot.q, slot.kv, k_pe,
                           slot.m, slot.l, workspace_, deferred.dq, deferred.dkv,
                           rotary_part(deferred.ddown));
  observe(pass, "delta",
          matrix(reinterpret_cast<const Real*>(workspace_.data), dout.rows, config_.heads));
  observe(pass, "dkv", deferred.dkv);
  observe(pass, "dk_pe", rotary_part(deferred.ddown));
  const std::int64_t head = config_.nope_width + config_.rope_width;
  rope<Real>(pass.exec, table.cosine(), table.sine(),
             {config_.heads, config_.nope_width, head, config_.rope_width}, rows.rows, true,
             deferred.dq);
  observe(pass, "dq", deferred.dq);
  rope<Real>(pass.exec, table.cosine(), table.sine(), {1, 0, 0, config_.rope_width}, rows.rows,
             true, rotary_part(deferred.ddown));
  const Matrix<Real> dlatent = latent_part(deferred.ddown);
  kv_b_.backward_input(pass, deferred.dkv, dlatent);
  kv_norm_.backward(pass, rows, dlatent, latent, slot.r_kv, dlatent);
  if (compressed_query()) {
    const Matrix<Real> dlatent_q = deferred.ddown.column_range(0, config_.query_latent);
    q_b_.backward_input(pass, deferred.dq, dlatent_q);
    q_norm_.backward(pass, rows, dlatent_q, slot.down.column_range(0, config_.query_latent),
                     slot.r_q, dlatent_q);
  }
  observe(pass, "ddown", deferred.ddown);
  down_.backward_input(pass, deferred.ddown, dx);
}

template <class Real>
void Mla<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                                const Input<Real>& x, Slot& slot, const Deferred& deferred) const {
  down_.backward_weight(pass, rows, deferred.ddown, x);  // first: x may be codes in shared room
  slot.kept_down.restore(pass.exec, slot.down);
  slot.kept_o.restore(pass.exec, slot.o);
  if (recompute) {
    // Another layer may have used the shared buffers since backward_input.
    kv_norm_.recompute(pass, latent_part(slot.down), slot.r_kv, slot.latent_kv);
    if (compressed_query()) {
      q_norm_.recompute(pass, slot.down.column_range(0, config_.query_latent), slot.r_q,
                        slot.latent_q);
    }
  }
  o_proj_.backward_weight(pass, rows, deferred.dout, slot.o);
  kv_b_.backward_weight(pass, rows, deferred.dkv, slot.latent_kv);
  if (compressed_query()) q_b_.backward_weight(pass, rows, deferred.dq, slot.latent_q);
}

template class Mla<float>;
template class Mla<double>;

}  // namespace moray
