#include "model/chunk_pass.hpp"

#include <algorithm>

#include "kernels/embedding/embedding.hpp"

namespace moray {

template <class Real>
ChunkPass<Real>::ChunkPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit,
                           const BatchLayout& batch, const Options& options)
    : model_(model),
      pass_(pass),
      unit_(unit),
      batch_(batch),
      options_(options),
      chunk_(model.chunks()[static_cast<std::size_t>(unit.chunk)]),
      slot_(model.slot(unit)),
      layers_(static_cast<int>(chunk_.layers)),
      modules_(chunk_.head ? static_cast<int>(model.depth()) : 0) {
  pass.parameters = &model.parameters();
}

template <class Real>
Block<Real>& ChunkPass<Real>::block(int piece) const {
  if (is_module(piece)) return module(piece).block();
  return model_.blocks_[static_cast<std::size_t>(chunk_.first + piece)];
}

template <class Real>
typename Block<Real>::Slot& ChunkPass<Real>::slot(int piece) const {
  if (is_module(piece)) return module_slot(piece).block;
  return slot_.layers[static_cast<std::size_t>(piece)];
}

template <class Real>
typename Block<Real>::Frame ChunkPass<Real>::frame(int piece) const {
  enter("layer", layer(piece));
  return model_.frame(pass_, batch_, use_of(piece), options_);
}

// Forward -----------------------------------------------------------------------------------------

template <class Real>
ForwardPass<Real>::ForwardPass(Model<Real>& model, Pass<Real>& pass, const ModelUnit& unit,
                               const BatchLayout& batch,
                               const typename Model<Real>::Options& options, Matrix<Real> out)
    : ChunkPass<Real>(model, pass, unit, batch, options), out_(out) {}

template <class Real>
void ForwardPass<Real>::run() {
  begin();
  for (int piece = 0; piece < this->pieces(); ++piece) {
    attention(piece);
    dispatch_start(piece);
    dispatch_finish(piece);
    experts(piece);
    combine_start(piece);
    combine_finish(piece);
  }
  end();
}

template <class Real>
void ForwardPass<Real>::begin() {
  if (!this->chunk_.embedding) return;
  const auto recorded = this->record(Phase::ends, PhasePart::F, -1);
  embedding_forward<Real>(this->pass_.exec, this->model_.embedding_table(), this->slot_.inputs[0],
                          this->model_.input(this->unit_));
}

template <class Real>
void ForwardPass<Real>::attention(int piece) {
  const auto recorded = this->record(Phase::attention, PhasePart::F, piece);
  if (this->is_module(piece)) {
    Model<Real>& model = this->model_;
    if (piece == this->layers_) final_norm();
    auto& slot = this->module_slot(piece);
    const std::int64_t k = this->use_of(piece);
    embedding_forward<Real>(this->pass_.exec, model.embedding_table(),
                            this->slot_.inputs[static_cast<std::size_t>(k)], slot.embedding);
    model.from_uses(this->pass_, k - 1, model.use_rows(k), this->slot_.h_all, slot.h_prev);
    this->module(piece).before_forward(this->frame(piece), slot);
  }
  this->block(piece).attention_forward(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::dispatch_start(int piece) {
  const auto recorded = this->record(Phase::dispatch_start, PhasePart::F, piece);
  this->block(piece).dispatch_forward_start(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::dispatch_relay(int piece) {
  if (!this->block(piece).relays()) return;
  const auto recorded = this->record(Phase::dispatch_relay, PhasePart::F, piece);
  this->block(piece).dispatch_forward_relay(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::dispatch_finish(int piece) {
  const auto recorded = this->record(Phase::dispatch_finish, PhasePart::F, piece);
  this->block(piece).dispatch_forward_finish(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::experts(int piece) {
  const auto recorded = this->record(Phase::experts, PhasePart::F, piece);
  this->block(piece).experts_forward(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::combine_start(int piece) {
  const auto recorded = this->record(Phase::combine_start, PhasePart::F, piece);
  this->block(piece).combine_forward_start(this->frame(piece), this->slot(piece));
}

template <class Real>
Matrix<Real> ForwardPass<Real>::output(int piece) const {
  if (this->is_module(piece)) return this->module_slot(piece).h_raw;
  if (piece + 1 < this->layers_) return this->slot(piece + 1).h_in;
  return this->chunk_.head ? this->slot_.h_last : out_;
}

template <class Real>
void ForwardPass<Real>::combine_relay(int piece) {
  if (!this->block(piece).relays()) return;
  const auto recorded = this->record(Phase::combine_relay, PhasePart::F, piece);
  this->block(piece).combine_forward_relay(this->frame(piece), this->slot(piece));
}

template <class Real>
void ForwardPass<Real>::combine_finish(int piece) {
  const auto recorded = this->record(Phase::combine_finish, PhasePart::F, piece);
  const auto frame = this->frame(piece);
  this->block(piece).combine_forward_finish(frame, this->slot(piece), output(piece));
  if (!this->is_module(piece)) return;
  const std::int64_t k = this->use_of(piece);
  auto& slot = this->module_slot(piece);
  this->module(piece).after_forward(frame, slot);
  this->model_.to_uses(this->pass_, k, this->model_.use_rows(k), slot.h, this->slot_.h_all);
}

/// h^0 of each sequence.
template <class Real>
void ForwardPass<Real>::final_norm() {
  const Model<Real>& model = this->model_;
  const auto& slot = this->slot_;
  if (this->modules_ == 0) {
    model.norm_.forward(this->pass_, slot.h_last, slot.h_all, slot.r_last);
    return;
  }
  const std::int64_t rows = model.use().rows;
  for (std::int64_t s = 0; s < this->batch_.sequences(); ++s) {
    model.norm_.forward(this->pass_, slot.h_last.row_range(s * rows, rows),
                        slot.h_all.row_range(s * model.head_rows(), rows),
                        slot.r_last.slice(s * rows, rows));
  }
}

template <class Real>
void ForwardPass<Real>::end() {
  if (!this->chunk_.head) return;
  const auto recorded = this->record(Phase::ends, PhasePart::F, -1);
  auto& slot = this->slot_;
  if (this->modules_ == 0) final_norm();
  this->model_.head_.forward(this->pass_, slot.h_all, slot.targets, slot.head);
  this->enter("head", -1);
  observe(this->pass_, "h", slot.h_all);
  observe(this->pass_, "loss", matrix(slot.head.loss.data, slot.head.loss.size, 1));
}

template class ChunkPass<float>;
template class ChunkPass<double>;
template class ForwardPass<float>;
template class ForwardPass<double>;

}  // namespace moray
