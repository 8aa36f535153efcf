#include <algorithm>

#include "model/chunk_pass.hpp"

namespace moray {

template <class Real>
BackwardPass<Real>::BackwardPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit,
                                 const BatchLayout& batch,
                                 const typename Model<Real>::Options& options, Matrix<Real> dh)
    : ChunkPass<Real>(model, pass, unit, batch, options),
      deferred_(model.deferred(unit)),
      dh_(dh) {}

template <class Real>
void BackwardPass<Real>::run() {
  begin();
  for (int piece = this->pieces(); piece-- > 0;) {
    input(piece);
    weight(piece);
  }
  end();
}

template <class Real>
void BackwardPass<Real>::run_input() {
  begin();
  for (int piece = this->pieces(); piece-- > 0;) input(piece);
  end();
}

template <class Real>
void BackwardPass<Real>::run_weight() {
  for (int piece = this->pieces(); piece-- > 0;) weight(piece);
}

template <class Real>
void BackwardPass<Real>::input(int piece) {
  combine_start(piece);
  combine_finish(piece);
  experts_down(piece);
  experts_gate_up(piece);
  dispatch_start(piece);
  dispatch_finish(piece);
  attention(piece);
}

template <class Real>
void BackwardPass<Real>::weight(int piece) {
  experts_weight(piece);
  attention_weight(piece);
}

template <class Real>
typename Block<Real>::Deferred& BackwardPass<Real>::deferred(int piece) const {
  if (this->is_module(piece)) {
    return deferred_.mtp[static_cast<std::size_t>(piece - this->layers_)].block;
  }
  return deferred_.layers[static_cast<std::size_t>(piece)];
}

template <class Real>
Matrix<Real> BackwardPass<Real>::gradient(int piece) const {
  if (!this->is_module(piece)) return dh_;
  const Model<Real>& model = this->model_;
  return model.dh_.row_range(0, this->batch_.sequences() * model.use_rows(this->use_of(piece)));
}

template <class Real>
void BackwardPass<Real>::begin() {
  if (!this->chunk_.head) return;
  const auto recorded = this->record(Phase::ends, PhasePart::B, -1);
  Model<Real>& model = this->model_;
  auto& slot = this->slot_;
  for (std::size_t k = 1; k < model.head_uses_.size(); ++k)
    model.head_uses_[k].lambda = this->options_.mtp_lambda;
  const RowLayout rows{&this->batch_, model.head_rows()};
  this->enter("head", -1);
  model.head_.backward_input(this->pass_, rows, model.head_uses_, slot.h_all, slot.targets,
                             slot.head, model.dh_all_);
  observe(this->pass_, "dh", model.dh_all_);
  model.head_.backward_weight(this->pass_, rows, slot.h_all, slot.head);
  if (this->modules_ == 0) final_norm();
}

template <class Real>
void BackwardPass<Real>::final_norm() {
  Model<Real>& model = this->model_;
  const std::int64_t rows = model.use().rows;
  this->enter("end", -1);
  observe(this->pass_, "dh", model.dh_all_);
  model.from_uses(this->pass_, 0, rows, model.dh_all_, dh_);
  model.norm_.backward(this->pass_, RowLayout{&this->batch_, rows}, dh_, this->slot_.h_last,
                       this->slot_.r_last, dh_);
  observe(this->pass_, "norm.dx", dh_);
}

template <class Real>
void BackwardPass<Real>::combine_start(int piece) {
  const auto recorded = this->record(Phase::combine_start, PhasePart::B, piece);
  const auto frame = this->frame(piece);
  if (this->is_module(piece)) {
    const std::int64_t k = this->use_of(piece);
    const Model<Real>& model = this->model_;
    model.from_uses(this->pass_, k, model.use_rows(k), model.dh_all_, gradient(piece));
    this->module(piece).before_backward(frame, this->module_slot(piece), gradient(piece));
  }
  this->block(piece).combine_backward_start(frame, this->slot(piece), deferred(piece),
                                            gradient(piece));
}

template <class Real>
void BackwardPass<Real>::combine_relay(int piece) {
  if (!this->block(piece).relays()) return;
  const auto recorded = this->record(Phase::combine_relay, PhasePart::B, piece);
  this->block(piece).combine_backward_relay(this->frame(piece), this->slot(piece), deferred(piece));
}

template <class Real>
void BackwardPass<Real>::combine_finish(int piece) {
  const auto recorded = this->record(Phase::combine_finish, PhasePart::B, piece);
  this->block(piece).combine_backward_finish(this->frame(piece), this->slot(piece),
                                             deferred(piece));
}

template <class Real>
void BackwardPass<Real>::experts_down(int piece) {
  const auto recorded = this->record(Phase::experts, PhasePart::B, piece);
  this->block(piece).experts_backward_down(this->frame(piece), this->slot(piece), deferred(piece));
}

template <class Real>
void BackwardPass<Real>::experts_gate_up(int piece) {
  const auto recorded = this->record(Phase::experts, PhasePart::B, piece);
  this->block(piece).experts_backward_gate_up(this->frame(piece), this->slot(piece),
                                              deferred(piece));
}

template <class Real>
void BackwardPass<Real>::dispatch_start(int piece) {
  const auto recorded = this->record(Phase::dispatch_start, PhasePart::B, piece);
  this->block(piece).dispatch_backward_start(this->frame(piece), this->slot(piece));
}

template <class Real>
void BackwardPass<Real>::dispatch_relay(int piece) {
  if (!this->block(piece).relays()) return;
  const auto recorded = this->record(Phase::dispatch_relay, PhasePart::B, piece);
  this->block(piece).dispatch_backward_relay(this->frame(piece), this->slot(piece));
}

template <class Real>
void BackwardPass<Real>::dispatch_finish(int piece) {
  const auto recorded = this->record(Phase::dispatch_finish, PhasePart::B, piece);
  this->block(piece).dispatch_backward_finish(this->frame(piece), this->slot(piece));
}

template <class Real>
void BackwardPass<Real>::attention(int piece) {
  const auto recorded = this->record(Phase::attention, PhasePart::B, piece);
  const auto frame = this->frame(piece);
  this->block(piece).attention_backward(frame, this->slot(piece), deferred(piece), gradient(piece));
  if (!this->is_module(piece)) return;
  Model<Real>& model = this->model_;
  const std::int64_t k = this->use_of(piece);
  const std::int64_t tokens = this->batch_.sequences() * model.use_rows(k);
  const Matrix<Real> dembedding = model.dembedding_.row_range(0, tokens);
  const Matrix<Real> dh_prev = model.dh_prev_.row_range(0, tokens);
  this->module(piece).after_backward(frame, this->module_slot(piece),
                                     deferred_.mtp[static_cast<std::size_t>(piece - this->layers_)],
                                     gradient(piece), dembedding, dh_prev);
  model.backward_embedding(this->pass_, this->batch_, k, this->slot_, dembedding);
  // The head's gradient came first, then those of the modules in turn.
  model.add_to_uses(this->pass_, k - 1, model.use_rows(k), dh_prev, model.dh_all_);
  if (piece == this->layers_) final_norm();
}

template <class Real>
void BackwardPass<Real>::end() {
  if (!this->chunk_.embedding) return;
  const auto recorded = this->record(Phase::ends, PhasePart::B, -1);
  this->model_.backward_embedding(this->pass_, this->batch_, 0, this->slot_, dh_);
}

template <class Real>
void BackwardPass<Real>::experts_weight(int piece) {
  const auto recorded = this->record(Phase::experts, PhasePart::W, piece);
  this->block(piece).experts_backward_weight(this->frame(piece), this->slot(piece),
                                             deferred(piece));
}

template <class Real>
void BackwardPass<Real>::attention_weight(int piece) {
  const auto recorded = this->record(Phase::attention, PhasePart::W, piece);
  const auto frame = this->frame(piece);
  this->block(piece).attention_backward_weight(frame, this->slot(piece), deferred(piece));
  if (!this->is_module(piece)) return;
  this->module(piece).backward_weight(
      frame, this->module_slot(piece),
      deferred_.mtp[static_cast<std::size_t>(piece - this->layers_)]);
}

// Both --------------------------------------------------------------------------------------------

template <class Real>
void run_overlapped(ForwardPass<Real>& forward, BackwardPass<Real>& backward) {
  forward.begin();
  backward.begin();
  const int pairs = std::max(forward.pieces(), backward.pieces());
  if (backward.pieces() > 0) backward.combine_start(backward.pieces() - 1);
  for (int i = 0; i < pairs; ++i) {
    const bool f = i < forward.pieces();
    const int b = backward.pieces() - 1 - i;  // -1: none
    if (f) forward.attention(i);
    if (b >= 0) backward.combine_finish(b);
    if (f) forward.dispatch_start(i);
    if (b >= 0) backward.experts_down(b);
    if (f) forward.dispatch_relay(i);
    if (b >= 0) backward.experts_gate_up(b);
    if (f) forward.dispatch_finish(i);
    if (b >= 0) backward.dispatch_start(b);
    if (b >= 0) backward.experts_weight(b);
    if (b >= 0) backward.dispatch_relay(b);
    if (f) forward.experts(i);
    if (b >= 0) backward.dispatch_finish(b);
    if (f) forward.combine_start(i);
    if (b >= 0) backward.attention(b);
    if (f) forward.combine_relay(i);
    if (b > 0) backward.combine_start(b - 1);  // runs under this W and the next attention
    if (b >= 0) backward.attention_weight(b);
    if (b > 0) backward.combine_relay(b - 1);
    if (f) forward.combine_finish(i);
  }
  forward.end();
  backward.end();
}

template class BackwardPass<float>;
template class BackwardPass<double>;
template void run_overlapped(ForwardPass<float>&, BackwardPass<float>&);
template void run_overlapped(ForwardPass<double>&, BackwardPass<double>&);

}  // namespace moray
