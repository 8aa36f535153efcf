#pragma once

/// The implementations behind rmsnorm.hpp, with its contract: one namespace a variant.

#include "kernels/rmsnorm/rmsnorm.hpp"
#include "kernels/rmsnorm/rmsnorm_host.hpp"

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

/// The micro-kernels of one instruction set, rows spread over the threads of the host backend.
namespace moray::host {

void rmsnorm_forward(const ExecSpace& exec, const HostRmsnorm& kernels, Matrix<const float> x,
                     Vector<const float> gamma, float eps, Matrix<float> y, Vector<float> r);
void rmsnorm_recompute(const ExecSpace& exec, const HostRmsnorm& kernels, Matrix<const float> x,
                       Vector<const float> gamma, Vector<const float> r, Matrix<float> y);
void rmsnorm_backward_input(const ExecSpace& exec, const HostRmsnorm& kernels,
                            Matrix<const float> dy, Matrix<const float> x,
                            Vector<const float> gamma, Vector<const float> r, Matrix<float> dx);
void rmsnorm_backward_weight(const ExecSpace& exec, const HostRmsnorm& kernels,
                             Matrix<const float> dy, Matrix<const float> x, Vector<const float> r,
                             Vector<float> dgamma);

}  // namespace moray::host
