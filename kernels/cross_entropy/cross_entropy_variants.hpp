#pragma once

/// The implementations behind cross_entropy.hpp, with its contract: one namespace a variant.

#include "kernels/cross_entropy/cross_entropy.hpp"

namespace moray::portable {

template <class Real>
void cross_entropy_forward(const ExecSpace& exec, Matrix<const Real> logits,
                           Vector<const std::int32_t> targets, Vector<Real> m, Vector<Real> l,
                           Vector<Real> loss);

template <class Real>
void cross_entropy_backward(const ExecSpace& exec, Matrix<const Real> logits,
                            Vector<const std::int32_t> targets, Vector<const Real> m,
                            Vector<const Real> l, Real lambda, Matrix<Real> dlogit);

}  // namespace moray::portable
