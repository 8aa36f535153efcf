#pragma once

#include "core/matrix.hpp"

namespace moray {

/// RMSNorm (Zhang and Sennrich, 2019) over the columns of x, docs/numerics.md section 5:
/// r = 1 / sqrt(sum / W + eps), sum a row reduction of x x; y = (x r) gamma.
/// x, y (T, W) may be strided and may be the same; gamma (W); r (T) is kept for the backward.
template <class Real>
void rmsnorm_forward(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                     Real eps, Matrix<Real> y, Vector<Real> r);

/// y again from x and the r kept by the forward: the same bits, without the reduction.
template <class Real>
void rmsnorm_recompute(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                       Vector<const Real> r, Matrix<Real> y);

/// dx = r (dy gamma - xhat (rowred(dy gamma xhat) / W)) with xhat = x r. dx (T, W) may be dy.
template <class Real>
void rmsnorm_backward_input(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                            Vector<const Real> gamma, Vector<const Real> r, Matrix<Real> dx);

/// dgamma (W): the chain of fma(dy, xhat, dgamma) over increasing rows, from what is there.
template <class Real>
void rmsnorm_backward_weight(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                             Vector<const Real> r, Vector<Real> dgamma);

}  // namespace moray
