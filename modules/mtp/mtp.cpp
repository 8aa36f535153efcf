#include "mtp/mtp.hpp"

#include "kernels/elementwise/elementwise.hpp"

namespace moray {

template <class Real>
MtpModule<Real>::MtpModule(Parameters<Real>& parameters, const std::string& prefix,
                           const ModelConfig& config, const ExpertShare& share)
    : precision_(config.precision),
      enorm_(parameters, prefix + "enorm.weight", config.model.width, config.model.norm_eps),
      hnorm_(parameters, prefix + "hnorm.weight", config.model.width, config.model.norm_eps),
      eh_proj_(parameters, Region::dense, 2 * config.model.width,
               {{prefix + "eh_proj.weight", config.model.width}}),
      block_(parameters, prefix, config, config.moe.experts == 0, share),
      out_norm_(parameters, prefix + "shared_head.norm.weight", config.model.width,
                config.model.norm_eps) {}

template <class Real>
typename MtpModule<Real>::Slot MtpModule<Real>::make_slot(Arena& arena, std::int64_t sequences,
                                                          std::int64_t rows, bool recompute) {
  const std::int64_t tokens = sequences * rows;
  const std::int64_t width = eh_proj_.out();
  const auto keep = [&](std::int64_t cols) {
    return arena.matrix<Real>(Memory::activations, tokens, cols);
  };
  eh_proj_.make_workspace(arena, precision_, sequences, rows);
  Slot slot;
  slot.embedding = keep(width);
  slot.h_prev = keep(width);
  slot.joined = keep(2 * width);
  slot.r_e = arena.vector<Real>(Memory::activations, tokens);
  slot.r_h = arena.vector<Real>(Memory::activations, tokens);
  slot.r_out = arena.vector<Real>(Memory::activations, tokens);
  slot.block = block_.make_slot(arena, keep(width), sequences, rows, recompute);
  slot.h_raw = keep(width);
  slot.h = keep(width);
  return slot;
}

template <class Real>
typename MtpModule<Real>::Deferred MtpModule<Real>::make_deferred(Arena& arena, const Slot& slot,
                                                                  std::int64_t tokens, bool own) {
  djoined_ = arena.shared_matrix<Real>("mtp.djoined", tokens, eh_proj_.in());
  return {arena.deferred_matrix<Real>("mtp.dx", tokens, eh_proj_.out(), own),
          block_.make_deferred(arena, slot.block, tokens, own)};
}

template <class Real>
void MtpModule<Real>::before_forward(const typename Block<Real>::Frame& frame, Slot& slot) const {
  const std::int64_t width = eh_proj_.out();
  enorm_.forward(frame.pass, slot.embedding, slot.joined.column_range(0, width), slot.r_e);
  hnorm_.forward(frame.pass, slot.h_prev, slot.joined.column_range(width, width), slot.r_h);
  observe(frame.pass, "joined", slot.joined);
  eh_proj_.forward(frame.pass, slot.joined, slot.block.h_in);
  observe(frame.pass, "x", slot.block.h_in);
}

template <class Real>
void MtpModule<Real>::after_forward(const typename Block<Real>::Frame& frame, Slot& slot) const {
  out_norm_.forward(frame.pass, slot.h_raw, slot.h, slot.r_out);
  observe(frame.pass, "h_out", slot.h);
}

template <class Real>
void MtpModule<Real>::before_backward(const typename Block<Real>::Frame& frame, const Slot& slot,
                                      Matrix<Real> dh) const {
  out_norm_.backward(frame.pass, frame.rows, dh, slot.h_raw, slot.r_out, dh);
  observe(frame.pass, "out_norm.dx", dh);
}

template <class Real>
void MtpModule<Real>::after_backward(const typename Block<Real>::Frame& frame, const Slot& slot,
                                     Deferred& deferred, Matrix<const Real> dh,
                                     Matrix<Real> dembedding, Matrix<Real> dh_prev) const {
  const std::int64_t width = eh_proj_.out();
  copy<Real>(frame.pass.exec, dh, deferred.dx);
  eh_proj_.backward_input(frame.pass, deferred.dx, djoined_);
  enorm_.backward(frame.pass, frame.rows, djoined_.column_range(0, width), slot.embedding, slot.r_e,
                  dembedding);
  hnorm_.backward(frame.pass, frame.rows, djoined_.column_range(width, width), slot.h_prev,
                  slot.r_h, dh_prev);
  observe(frame.pass, "dembedding", dembedding);
  observe(frame.pass, "dh_prev", dh_prev);
}

template <class Real>
void MtpModule<Real>::backward_weight(const typename Block<Real>::Frame& frame, const Slot& slot,
                                      const Deferred& deferred) const {
  eh_proj_.backward_weight(frame.pass, frame.rows, deferred.dx, slot.joined);
}

template class MtpModule<float>;
template class MtpModule<double>;

}  // namespace moray
