#pragma once

#include <span>

#include "core/arena.hpp"
#include "model/linear.hpp"

namespace moray {

/// Output head and cross-entropy. Its rows are, for each sequence, those of all uses: S of the
/// trunk, then S - k of each MTP module, so that the weight gradient is one chain in
/// (g, use, position). Logits exist for at most `chunk` rows at a time; with a chunk that holds all
/// rows they are kept, and nothing is computed twice unless another micro-batch comes between.
template <class Real>
class Head {
 public:
  struct Slot {
    Matrix<Real> logits;  ///< (min(R, chunk), V), of all slots; dlogit after backward_input
    Vector<Real> m, l;    ///< (R)
    Vector<Real> loss;    ///< (R) token losses
  };
  /// Rows of a sequence that share a weight of the loss: 1 for the trunk, lambda / depth for MTP.
  struct Use {
    std::int64_t first = 0;
    std::int64_t rows = 0;
    Real lambda = 1;
  };

  Head() = default;
  Head(Parameters<Real>& parameters, std::int64_t width, std::int64_t vocabulary,
       std::int64_t chunk);

  Slot make_slot(Arena& arena, std::int64_t rows) const;

  /// Token losses of h (R, D) for targets (R).
  void forward(Pass<Real>& pass, Matrix<const Real> h, Vector<const std::int32_t> targets,
               Slot& slot) const;
  /// dh (R, D) of the weighted sum of token losses. When the logits were not kept this also
  /// accumulates the weight gradient, since dlogit exists only here.
  void backward_input(Pass<Real>& pass, const RowLayout& rows, std::span<const Use> uses,
                      Matrix<const Real> h, Vector<const std::int32_t> targets, Slot& slot,
                      Matrix<Real> dh) const;
  void backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> h,
                       const Slot& slot) const;

  const Linear<Real>& linear() const { return linear_; }

 private:
  void dlogit(Pass<Real>& pass, const RowLayout& rows, std::span<const Use> uses,
              Vector<const std::int32_t> targets, const Slot& slot, std::int64_t first,
              Matrix<Real> logits) const;
  void chunk_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> h,
                    std::int64_t first, Matrix<const Real> dlogit) const;

  Linear<Real> linear_;
  std::int64_t chunk_ = 0;
  mutable const Real* kept_ =
      nullptr;  ///< losses of the slot whose logits, or dlogit, are all there
};

}  // namespace moray
