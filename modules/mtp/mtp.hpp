#pragma once

#include "model/block.hpp"

namespace moray {

/// One multi-token prediction module (DeepSeek-V3 report, section 2.2, equations 21 to 25), the
/// k-th of depth D. Position i of its S - k rows a sequence reads the embedding of token i + k and
/// the hidden state h^{k-1} of position i, and predicts token i + k + 1:
///
///   x = eh_proj [enorm(Emb); hnorm(h^{k-1})],  h^k = shared_head.norm(block(x))
///
/// The concatenation order is that of the released weights. Embedding and head are the trunk's; the
/// caller reads and accumulates them.
template <class Real>
class MtpModule {
 public:
  struct Slot {
    Matrix<Real> embedding;  ///< (T, D)
    Matrix<Real> h_prev;     ///< (T, D)
    Matrix<Real> joined;     ///< (T, 2 D)
    Vector<Real> r_e, r_h, r_out;
    typename Block<Real>::Slot block;  ///< its h_in is x
    Matrix<Real> h_raw;                ///< (T, D) the block's output
    Matrix<Real> h;                    ///< (T, D) h^k
  };
  struct Deferred {
    Matrix<Real> dx;  ///< (T, D) gradient of eh_proj's output
    typename Block<Real>::Deferred block;
  };

  /// `prefix` is "model.layers.61.".
  MtpModule(Parameters<Real>& parameters, const std::string& prefix, const ModelConfig& config,
            const ExpertShare& share = {});

  Slot make_slot(Arena& arena, std::int64_t sequences, std::int64_t rows, bool recompute);
  Deferred make_deferred(Arena& arena, const Slot& slot, std::int64_t tokens, bool own = false);

  // What comes before and after the phases of the block.

  /// The block's input from slot.embedding and slot.h_prev.
  void before_forward(const typename Block<Real>::Frame& frame, Slot& slot) const;
  /// slot.h from the block's output slot.h_raw.
  void after_forward(const typename Block<Real>::Frame& frame, Slot& slot) const;
  /// dh (T, D): the gradient of h^k becomes that of the block's output.
  void before_backward(const typename Block<Real>::Frame& frame, const Slot& slot,
                       Matrix<Real> dh) const;
  /// dembedding and dh_prev (T, D) from the gradient dh of the block's input.
  void after_backward(const typename Block<Real>::Frame& frame, const Slot& slot,
                      Deferred& deferred, Matrix<const Real> dh, Matrix<Real> dembedding,
                      Matrix<Real> dh_prev) const;
  /// Without the block's.
  void backward_weight(const typename Block<Real>::Frame& frame, const Slot& slot,
                       const Deferred& deferred) const;

  Block<Real>& block() { return block_; }
  const Block<Real>& block() const { return block_; }

 private:
  PrecisionConfig precision_;
  Norm<Real> enorm_, hnorm_;
  Linear<Real> eh_proj_;
  Block<Real> block_;
  Norm<Real> out_norm_;
  Matrix<Real> djoined_;  ///< workspace (T, 2 D)
};

}  // namespace moray
