#pragma once

#include "core/matrix.hpp"

namespace moray {

/// Token losses from logits (T, V), docs/numerics.md section 5: m the exact row maximum,
/// e = exp(logit - m), +0 where logit - m < -40; l the row reduction of e;
/// loss = (m + log l) - logit[target]. Outputs m, l, loss (T).
template <class Real>
void cross_entropy_forward(const ExecSpace& exec, Matrix<const Real> logits,
                           Vector<const std::int32_t> targets, Vector<Real> m, Vector<Real> l,
                           Vector<Real> loss);

/// dlogit (T, V) = (e r - onehot) lambda, r = 1 / l, e r rounded first: the gradient of
/// lambda times the sum of the losses. dlogit may be logits.
template <class Real>
void cross_entropy_backward(const ExecSpace& exec, Matrix<const Real> logits,
                            Vector<const std::int32_t> targets, Vector<const Real> m,
                            Vector<const Real> l, Real lambda, Matrix<Real> dlogit);

}  // namespace moray
