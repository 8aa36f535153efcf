#include "model/head.hpp"

#include <algorithm>

#include "kernels/cross_entropy/cross_entropy.hpp"

namespace moray {

template <class Real>
Head<Real>::Head(Parameters<Real>& parameters, std::int64_t width, std::int64_t vocabulary,
                 std::int64_t chunk)
    : linear_(parameters, Region::dense, width, {{"lm_head.weight", vocabulary}}), chunk_(chunk) {}

template <class Real>
typename Head<Real>::Slot Head<Real>::make_slot(Arena& arena, std::int64_t rows) const {
  Slot slot;
  slot.logits = arena.shared_matrix<Real>("head.logits", std::min(rows, chunk_), linear_.out());
  slot.m = arena.vector<Real>(Memory::activations, rows);
  slot.l = arena.vector<Real>(Memory::activations, rows);
  slot.loss = arena.vector<Real>(Memory::activations, rows);
  return slot;
}

template <class Real>
void Head<Real>::forward(Pass<Real>& pass, Matrix<const Real> h, Vector<const std::int32_t> targets,
                         Slot& slot) const {
  for (std::int64_t first = 0; first < h.rows; first += chunk_) {
    const std::int64_t count = std::min(chunk_, h.rows - first);
    const Matrix<Real> logits = slot.logits.row_range(0, count);
    linear_.forward(pass, h.row_range(first, count), logits);
    cross_entropy_forward<Real>(pass.exec, logits, targets.slice(first, count),
                                slot.m.slice(first, count), slot.l.slice(first, count),
                                slot.loss.slice(first, count));
  }
  kept_ = chunk_ >= h.rows ? slot.loss.data : nullptr;
}

/// Turns the logits of rows [first, first + logits.rows) into their gradients, use by use.
template <class Real>
void Head<Real>::dlogit(Pass<Real>& pass, const RowLayout& rows, std::span<const Use> uses,
                        Vector<const std::int32_t> targets, const Slot& slot, std::int64_t first,
                        Matrix<Real> logits) const {
  const std::int64_t end = first + logits.rows;
  const auto piece = [&](std::int64_t from, std::int64_t to, Real lambda) {
    from = std::max(from, first);
    to = std::min(to, end);
    if (from >= to) return;
    const Matrix<Real> part = logits.row_range(from - first, to - from);
    cross_entropy_backward<Real>(pass.exec, part, targets.slice(from, to - from),
                                 slot.m.slice(from, to - from), slot.l.slice(from, to - from),
                                 lambda, part);
  };
  if (uses.size() == 1) return piece(first, end, uses[0].lambda);
  for (std::int64_t sequence = 0; sequence < rows.batch->sequences(); ++sequence) {
    for (const Use& use : uses) {
      const std::int64_t from = sequence * rows.rows + use.first;
      piece(from, from + use.rows, use.lambda);
    }
  }
}

/// The weight gradient of a chunk: each lane's chain goes on over the chunk's rows.
template <class Real>
void Head<Real>::chunk_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> h,
                              std::int64_t first, Matrix<const Real> dlogit) const {
  pass.tasks.clear();
  for (const LaneSegment& segment : rows.batch->segments()) {
    const std::int64_t from = std::max(segment.first * rows.rows, first);
    const std::int64_t to =
        std::min((segment.first + segment.sequences) * rows.rows, first + dlogit.rows);
    if (from >= to) continue;
    const Matrix<Real> dw = pass.parameters->gradient(linear_.weight(), segment.lane);
    pass.tasks.push_back({.a = dlogit.row(from - first),
                          .lda = dlogit.stride,
                          .b = h.row(from),
                          .ldb = h.stride,
                          .c = dw.data,
                          .ldc = dw.stride,
                          .m = dw.rows,
                          .n = dw.cols,
                          .k = to - from});
  }
  gemm<Real>(pass.exec, GemmForm::tn, pass.tasks);
}

template <class Real>
void Head<Real>::backward_input(Pass<Real>& pass, const RowLayout& rows, std::span<const Use> uses,
                                Matrix<const Real> h, Vector<const std::int32_t> targets,
                                Slot& slot, Matrix<Real> dh) const {
  const bool kept = kept_ == slot.loss.data;
  if (!kept) kept_ = nullptr;
  for (std::int64_t first = 0; first < h.rows; first += chunk_) {
    const std::int64_t count = std::min(chunk_, h.rows - first);
    const Matrix<Real> logits = slot.logits.row_range(0, count);
    if (!kept) linear_.forward(pass, h.row_range(first, count), logits);
    dlogit(pass, rows, uses, targets, slot, first, logits);
    if (pass.probe != nullptr) pass.probe->rows("dlogit", logits, first, h.rows);
    linear_.backward_input(pass, logits, dh.row_range(first, count));
    if (!kept) chunk_weight(pass, rows, h, first, logits);
  }
}

template <class Real>
void Head<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> h,
                                 const Slot& slot) const {
  if (kept_ == slot.loss.data) linear_.backward_weight(pass, rows, slot.logits, h);
}

template class Head<float>;
template class Head<double>;

}  // namespace moray
