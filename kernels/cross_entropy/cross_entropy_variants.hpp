#pragma once

/// The implementations behind cross_entropy.hpp, with its contract: one namespace a variant.

#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/cross_entropy/cross_entropy_host.hpp"

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

/// The micro-kernels of one instruction set, spread over the threads of the host backend.
namespace moray::host {

void cross_entropy_forward(const ExecSpace& exec, const HostCrossEntropy& kernels,
                           Matrix<const float> logits, Vector<const std::int32_t> targets,
                           Vector<float> m, Vector<float> l, Vector<float> loss);
void cross_entropy_backward(const ExecSpace& exec, const HostCrossEntropy& kernels,
                            Matrix<const float> logits, Vector<const std::int32_t> targets,
                            Vector<const float> m, Vector<const float> l, float lambda,
                            Matrix<float> dlogit);

}  // namespace moray::host
