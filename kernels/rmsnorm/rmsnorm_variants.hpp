#pragma once

/// The implementations behind rmsnorm.hpp, with its contract: one namespace a variant.

#include "kernels/rmsnorm/rmsnorm.hpp"

namespace moray::portable {

template <class Real>
void rmsnorm_forward(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                     Real eps, Matrix<Real> y, Vector<Real> r);

template <class Real>
void rmsnorm_recompute(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                       Vector<const Real> r, Matrix<Real> y);

template <class Real>
void rmsnorm_backward_input(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                            Vector<const Real> gamma, Vector<const Real> r, Matrix<Real> dx);

template <class Real>
void rmsnorm_backward_weight(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                             Vector<const Real> r, Vector<Real> dgamma);

}  // namespace moray::portable
