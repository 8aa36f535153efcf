#include "model/block.hpp"

#include "kernels/elementwise/elementwise.hpp"

namespace moray {

template <class Real>
Block<Real>::Block(Parameters<Real>& parameters, const std::string& prefix,
                   const ModelConfig& config, bool dense, const ExpertShare& share)
    : norm1_(parameters, prefix + "input_layernorm.weight", config.model.width,
             config.model.norm_eps),
      norm2_(parameters, prefix + "post_attention_layernorm.weight", config.model.width,
             config.model.norm_eps),
      attention_(parameters, prefix + "self_attn.", config.model.width, config.model.norm_eps,
                 config.attention) {
  if (dense) {
    ffn_.emplace(parameters, prefix + "mlp.", config.model.width, config.model.dense_width);
  } else {
    moe_.emplace(parameters, prefix + "mlp.", config.model.width, config.moe, share);
  }
}

template <class Real>
typename Block<Real>::Slot Block<Real>::make_slot(Arena& arena, Matrix<Real> h_in,
                                                  std::int64_t sequences, std::int64_t rows,
                                                  bool recompute) {
  const std::int64_t tokens = sequences * rows;
  const auto transient = [&](const char* key) {
    return recompute ? arena.shared_matrix<Real>(key, tokens, h_in.cols)
                     : arena.matrix<Real>(Memory::activations, tokens, h_in.cols);
  };
  Slot slot;
  slot.h_in = h_in;
  slot.x1 = transient("block.x1");
  slot.r1 = arena.vector<Real>(Memory::activations, tokens);
  slot.attention = attention_.make_slot(arena, sequences, rows, recompute);
  slot.h_mid = arena.matrix<Real>(Memory::activations, tokens, h_in.cols);
  slot.x2 = transient("block.x2");
  slot.x2_again = recompute ? transient("block.x2_again") : slot.x2;
  slot.r2 = arena.vector<Real>(Memory::activations, tokens);
  if (ffn_) slot.ffn = ffn_->make_slot(arena, "ffn", sequences, rows, recompute);
  if (moe_) slot.moe = moe_->make_slot(arena, sequences, tokens, recompute);
  attention_.make_workspace(arena, sequences, rows);
  branch_ = arena.shared_matrix<Real>("block.branch", tokens, h_in.cols);
  shared_ = arena.shared_matrix<Real>("block.shared", tokens, h_in.cols);
  return slot;
}

template <class Real>
typename Block<Real>::Deferred Block<Real>::make_deferred(Arena& arena, const Slot& slot,
                                                          std::int64_t tokens, bool own) {
  const std::int64_t width = branch_.cols;
  Deferred deferred;
  deferred.dout = arena.deferred_matrix<Real>("block.dout", tokens, width, own);
  deferred.attention = attention_.make_deferred(arena, tokens, own);
  if (ffn_) deferred.ffn = ffn_->make_deferred(arena, "ffn", tokens, own);
  if (moe_) deferred.moe = moe_->make_deferred(arena, slot.moe, tokens, own);
  routed_dx_ = arena.shared_matrix<Real>("block.routed_dx", tokens, width);
  shared_dx_ = arena.shared_matrix<Real>("block.shared_dx", tokens, width);
  gate_dx_ = arena.shared_matrix<Real>("block.gate_dx", tokens, width);
  dx_ = arena.shared_matrix<Real>("block.dx", tokens, width);
  return deferred;
}

// Forward -----------------------------------------------------------------------------------------

template <class Real>
void Block<Real>::attention_forward(const Frame& frame, Slot& slot) {
  Pass<Real>& pass = frame.pass;
  const Input<Real> x1 =
      norm1_.forward(pass, slot.h_in, slot.x1, slot.r1,
                     frame.recompute ? attention_.down().room(pass, slot.h_in.rows) : CodeRoom());
  observe(pass, "norm1", slot.x1);
  attention_.forward(pass, frame.rows, frame.table, x1, slot.attention, branch_);
  after_attention(frame, slot);
}

template <class Real>
void Block<Real>::attention_decode(const Frame& frame, Slot& slot, const LatentCache<Real>& cache,
                                   std::int64_t position) {
  norm1_.forward(frame.pass, slot.h_in, slot.x1, slot.r1);
  attention_.decode(frame.pass, frame.rows, frame.table, position, slot.x1, slot.attention, cache,
                    branch_);
  after_attention(frame, slot);
}

template <class Real>
void Block<Real>::after_attention(const Frame& frame, Slot& slot) {
  Pass<Real>& pass = frame.pass;
  add<Real>(pass.exec, slot.h_in, branch_, slot.h_mid);
  observe(pass, "h", slot.h_mid);
  norm2_.forward(pass, slot.h_mid, slot.x2, slot.r2);
  observe(pass, "norm2", slot.x2);
  if (moe_)
    moe_->gate_forward(pass, frame.rows, frame.sample_rows, slot.x2, slot.moe, frame.routing);
}

template <class Real>
void Block<Real>::dispatch_forward_start(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->dispatch_start(frame.pass, frame.rows, slot.x2, slot.moe);
}

template <class Real>
void Block<Real>::dispatch_forward_relay(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->dispatch_relay(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::dispatch_forward_finish(const Frame& frame, Slot& slot) {
  if (moe_) moe_->dispatch_finish(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::experts_forward(const Frame& frame, Slot& slot) const {
  if (moe_) {
    moe_->experts_forward(frame.pass, slot.x2, slot.moe, shared_);
  } else {
    ffn_->forward(frame.pass, slot.x2, slot.ffn, branch_);
  }
}

template <class Real>
void Block<Real>::combine_forward_start(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->combine_start(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::combine_forward_relay(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->combine_relay(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::combine_forward_finish(const Frame& frame, Slot& slot, Matrix<Real> h_out) const {
  Pass<Real>& pass = frame.pass;
  if (moe_) {
    moe_->combine_finish(pass, slot.moe, branch_);
    observe(pass, "routed", branch_);
  }
  if (moe_ && moe_->has_shared()) {
    add_sum<Real>(pass.exec, slot.h_mid, branch_, shared_, h_out);
  } else {
    add<Real>(pass.exec, slot.h_mid, branch_, h_out);
  }
  observe(pass, "y", h_out);
}

// Input gradients ---------------------------------------------------------------------------------

template <class Real>
void Block<Real>::combine_backward_start(const Frame& frame, Slot& slot, Deferred& deferred,
                                         Matrix<const Real> dh) const {
  copy<Real>(frame.pass.exec, dh, deferred.dout);
  if (moe_) moe_->combine_backward_start(frame.pass, deferred.dout, slot.moe, deferred.moe);
}

template <class Real>
void Block<Real>::combine_backward_relay(const Frame& frame, Slot& slot, Deferred& deferred) const {
  if (moe_) moe_->combine_backward_relay(frame.pass, slot.moe, deferred.moe);
}

template <class Real>
void Block<Real>::combine_backward_finish(const Frame& frame, Slot& slot,
                                          Deferred& deferred) const {
  if (moe_) moe_->combine_backward_finish(frame.pass, deferred.dout, slot.moe, deferred.moe);
}

template <class Real>
void Block<Real>::experts_backward_down(const Frame& frame, Slot& slot, Deferred& deferred) const {
  if (moe_) moe_->experts_backward_down(frame.pass, slot.moe, deferred.moe);
}

template <class Real>
void Block<Real>::experts_backward_gate_up(const Frame& frame, Slot& slot,
                                           Deferred& deferred) const {
  if (moe_) {
    moe_->experts_backward_gate_up(frame.pass, deferred.dout, slot.moe, deferred.moe, shared_dx_);
  } else {
    ffn_->backward_input(frame.pass, deferred.dout, slot.ffn, deferred.ffn, dx_);
  }
}

template <class Real>
void Block<Real>::dispatch_backward_start(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->dispatch_backward_start(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::dispatch_backward_relay(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->combine_relay(frame.pass, slot.moe);
}

template <class Real>
void Block<Real>::dispatch_backward_finish(const Frame& frame, Slot& slot) const {
  if (moe_) moe_->dispatch_backward_finish(frame.pass, slot.moe, routed_dx_);
}

template <class Real>
void Block<Real>::attention_backward(const Frame& frame, Slot& slot, Deferred& deferred,
                                     Matrix<Real> dh) const {
  Pass<Real>& pass = frame.pass;
  if (moe_) {
    observe(pass, "routed.dx", routed_dx_);
    moe_->gate_backward(pass, slot.moe, deferred.moe, gate_dx_);
    if (moe_->has_shared()) add<Real>(pass.exec, routed_dx_, shared_dx_, routed_dx_);
    add<Real>(pass.exec, routed_dx_, gate_dx_, dx_);
  }
  observe(pass, "norm2.dy", dx_);
  norm2_.backward(pass, frame.rows, dx_, slot.h_mid, slot.r2, dx_);
  observe(pass, "norm2.dx", dx_);
  add<Real>(pass.exec, dh, dx_, dh);
  observe(pass, "dh", dh);
  attention_.backward_input(pass, frame.rows, frame.table, frame.recompute, dh, slot.attention,
                            deferred.attention, dx_);
  observe(pass, "norm1.dy", dx_);
  norm1_.backward(pass, frame.rows, dx_, slot.h_in, slot.r1, dx_);
  observe(pass, "norm1.dx", dx_);
  add<Real>(pass.exec, dh, dx_, dh);
  observe(pass, "dx", dh);
}

// Weight gradients --------------------------------------------------------------------------------

template <class Real>
void Block<Real>::experts_backward_weight(const Frame& frame, Slot& slot,
                                          const Deferred& deferred) const {
  Pass<Real>& pass = frame.pass;
  if (frame.recompute) norm2_.recompute(pass, slot.h_mid, slot.r2, slot.x2_again);
  if (moe_) {
    moe_->experts_backward_weight(pass, frame.rows, frame.recompute, deferred.dout, slot.x2_again,
                                  slot.moe, deferred.moe);
  } else {
    ffn_->backward_weight(pass, frame.rows, frame.recompute, deferred.dout, slot.x2_again, slot.ffn,
                          deferred.ffn);
  }
}

template <class Real>
void Block<Real>::attention_backward_weight(const Frame& frame, Slot& slot,
                                            const Deferred& deferred) const {
  if (moe_) moe_->gate_backward_weight(frame.pass, frame.rows, slot.x2_again, deferred.moe);
  Input<Real> x1 = slot.x1;
  if (frame.recompute) {
    x1 = norm1_.recompute(frame.pass, slot.h_in, slot.r1, slot.x1,
                          attention_.down().room(frame.pass, slot.h_in.rows));
  }
  attention_.backward_weight(frame.pass, frame.rows, frame.recompute, x1, slot.attention,
                             deferred.attention);
}

// All phases --------------------------------------------------------------------------------------

template <class Real>
void Block<Real>::forward(const Frame& frame, Slot& slot, Matrix<Real> h_out) {
  attention_forward(frame, slot);
  after_gate(frame, slot, h_out);
}

template <class Real>
void Block<Real>::after_gate(const Frame& frame, Slot& slot, Matrix<Real> h_out) {
  dispatch_forward_start(frame, slot);
  dispatch_forward_finish(frame, slot);
  experts_forward(frame, slot);
  combine_forward_start(frame, slot);
  combine_forward_finish(frame, slot, h_out);
}

template <class Real>
void Block<Real>::backward_input(const Frame& frame, Slot& slot, Deferred& deferred,
                                 Matrix<Real> dh) const {
  combine_backward_start(frame, slot, deferred, dh);
  combine_backward_finish(frame, slot, deferred);
  experts_backward_down(frame, slot, deferred);
  experts_backward_gate_up(frame, slot, deferred);
  dispatch_backward_start(frame, slot);
  dispatch_backward_finish(frame, slot);
  attention_backward(frame, slot, deferred, dh);
}

template <class Real>
void Block<Real>::backward_weight(const Frame& frame, Slot& slot, const Deferred& deferred) const {
  experts_backward_weight(frame, slot, deferred);
  attention_backward_weight(frame, slot, deferred);
}

template class Block<float>;
template class Block<double>;

}  // namespace moray
