#pragma once

#include <optional>
#include <string>

#include "attention/attention.hpp"
#include "model/ffn.hpp"
#include "model/model_config.hpp"
#include "moe/moe.hpp"

namespace moray {

/// A Transformer layer as a table of phases. Each has its forward, its input gradient and its weight
/// gradient, so that one micro-batch's communication can run under another's computation:
///
///   phase      forward                          backward_input             backward_weight
///   attention  x1 = norm1(h); h' = h + mla(x1)  dh' = dh + dnorm2(dx2)     gate
///              x2 = norm2(h'); gate             dh = dh' + dnorm1(dmla)    mla's projections
///   dispatch   rows to experts                  tree sum of their dx       -
///   experts    shared and routed, or the FFN    their dx                   their projections
///   combine    h'' = h' + (routed + shared)     rows of dh'' to experts    -
template <class Real>
class Block {
 public:
  struct Slot {
    Matrix<Real> h_in;  ///< (T, D), written by whoever comes before
    Matrix<Real> x1;    ///< shared under recompute
    Vector<Real> r1;
    typename Mla<Real>::Slot attention;
    Matrix<Real> h_mid;
    Matrix<Real> x2;        ///< shared under recompute
    Matrix<Real> x2_again;  ///< the same where the backward needs it, beside another forward's x2
    Vector<Real> r2;
    typename Ffn<Real>::Slot ffn;
    typename Moe<Real>::Slot moe;
  };
  struct Deferred {
    Matrix<Real> dout;  ///< (T, D) gradient of the layer's output
    typename Mla<Real>::Deferred attention;
    typename Ffn<Real>::Deferred ffn;
    typename Moe<Real>::Deferred moe;
  };

  /// `prefix` is "model.layers.3."; dense layers have no experts.
  Block(Parameters<Real>& parameters, const std::string& prefix, const ModelConfig& config,
        bool dense, const ExpertShare& share = {});

  void allocate_state(Arena& arena) {
    if (moe_) moe_->allocate_state(arena);
  }
  Slot make_slot(Arena& arena, Matrix<Real> h_in, std::int64_t sequences, std::int64_t rows,
                 bool recompute);
  /// Shared by all layers when weight gradients follow at once, else `own`.
  Deferred make_deferred(Arena& arena, const Slot& slot, std::int64_t tokens, bool own = false);

  /// What the four phases of one micro-batch share.
  struct Frame {
    Pass<Real>& pass;
    RowLayout rows;
    std::int64_t sample_rows = 0;  ///< T of the sample, for the balance loss
    const RotaryTable<Real>& table;
    bool recompute = true;
    Routing routing = Routing::train;
  };

  void attention_forward(const Frame& frame, Slot& slot);
  /// attention_forward of some positions of each sequence, with its cache instead of its past rows.
  void attention_decode(const Frame& frame, Slot& slot, const LatentCache<Real>& cache,
                        std::int64_t position);
  void dispatch_forward_start(const Frame& frame, Slot& slot) const;
  void dispatch_forward_relay(const Frame& frame, Slot& slot) const;
  void dispatch_forward_finish(const Frame& frame, Slot& slot);
  void experts_forward(const Frame& frame, Slot& slot) const;
  void combine_forward_start(const Frame& frame, Slot& slot) const;
  void combine_forward_relay(const Frame& frame, Slot& slot) const;
  void combine_forward_finish(const Frame& frame, Slot& slot, Matrix<Real> h_out) const;

  /// dh (T, D) holds the gradient of the output; attention_backward leaves that of the input.
  void combine_backward_start(const Frame& frame, Slot& slot, Deferred& deferred,
                              Matrix<const Real> dh) const;
  void combine_backward_relay(const Frame& frame, Slot& slot, Deferred& deferred) const;
  void combine_backward_finish(const Frame& frame, Slot& slot, Deferred& deferred) const;
  /// Of the experts' down projections; the rest, and a dense FFN.
  void experts_backward_down(const Frame& frame, Slot& slot, Deferred& deferred) const;
  void experts_backward_gate_up(const Frame& frame, Slot& slot, Deferred& deferred) const;
  void dispatch_backward_start(const Frame& frame, Slot& slot) const;
  void dispatch_backward_relay(const Frame& frame, Slot& slot) const;
  void dispatch_backward_finish(const Frame& frame, Slot& slot) const;
  void attention_backward(const Frame& frame, Slot& slot, Deferred& deferred,
                          Matrix<Real> dh) const;

  /// After combine_backward and experts_backward_gate_up.
  void experts_backward_weight(const Frame& frame, Slot& slot, const Deferred& deferred) const;
  /// After attention_backward and experts_backward_weight.
  void attention_backward_weight(const Frame& frame, Slot& slot, const Deferred& deferred) const;

  /// All phases in order, for schedules without overlap.
  void forward(const Frame& frame, Slot& slot, Matrix<Real> h_out);
  /// Those after attention.
  void after_gate(const Frame& frame, Slot& slot, Matrix<Real> h_out);
  void backward_input(const Frame& frame, Slot& slot, Deferred& deferred, Matrix<Real> dh) const;
  void backward_weight(const Frame& frame, Slot& slot, const Deferred& deferred) const;

  bool has_experts() const { return moe_.has_value(); }
  /// Tokens go to their experts in two hops.
  bool relays() const {
    return moe_.has_value() && !moe_->share().whole() && moe_->share().two_hops;
  }
  Moe<Real>& moe() { return *moe_; }
  const Moe<Real>& moe() const { return *moe_; }
  const Mla<Real>& attention() const { return attention_; }

 private:
  void after_attention(const Frame& frame, Slot& slot);

  Norm<Real> norm1_, norm2_;
  Mla<Real> attention_;
  std::optional<Ffn<Real>> ffn_;
  std::optional<Moe<Real>> moe_;
  // Workspace (T, D), shared by all layers.
  Matrix<Real> branch_;  ///< attention's output; the FFN's; the sum of the routed experts
  Matrix<Real> shared_;  ///< the shared experts' output
  Matrix<Real> routed_dx_, shared_dx_, gate_dx_, dx_;
};

}  // namespace moray
