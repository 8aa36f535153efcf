#pragma once

#include <string>

#include "core/arena.hpp"
#include "model/kept.hpp"
#include "model/linear.hpp"

namespace moray {

/// SwiGLU feed-forward network (Shazeer, 2020): down_proj(silu(gate_proj x) (up_proj x)). The dense
/// layers' FFN and the shared experts of an MoE layer. gate|up is one product.
template <class Real>
class Ffn {
 public:
  struct Slot {
    Matrix<Real> gate_up;  ///< (T, 2 F)
    Kept kept;             ///< of gate_up, for the backward
    Matrix<Real> act;      ///< (T, F), shared by all layers under recompute
  };
  /// Written by backward_input for backward_weight; the caller keeps dout.
  struct Deferred {
    Matrix<Real> dgate_up;  ///< (T, 2 F)
  };

  Ffn() = default;
  /// `prefix` is "model.layers.0.mlp." or "model.layers.3.mlp.shared_experts.".
  Ffn(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
      std::int64_t hidden);

  /// `name` tells apart the shared buffers of networks that are used at the same time.
  Slot make_slot(Arena& arena, const std::string& name, std::int64_t sequences, std::int64_t rows,
                 bool recompute) const;
  Deferred make_deferred(Arena& arena, const std::string& name, std::int64_t tokens, bool own);

  /// x (T, D), out (T, D).
  void forward(Pass<Real>& pass, Matrix<const Real> x, Slot& slot, Matrix<Real> out) const;
  void backward_input(Pass<Real>& pass, Matrix<const Real> dout, const Slot& slot,
                      Deferred& deferred, Matrix<Real> dx) const;
  void backward_weight(Pass<Real>& pass, const RowLayout& rows, bool recompute,
                       Matrix<const Real> dout, Matrix<const Real> x, Slot& slot,
                       const Deferred& deferred) const;

 private:
  PrecisionConfig precision_;
  Linear<Real> gate_up_, down_;
  Matrix<Real> dact_;  ///< workspace (T, F)
};

}  // namespace moray
