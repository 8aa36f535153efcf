#pragma once

/// The implementations behind swiglu.hpp, with its contract: one namespace a variant.

#include "kernels/swiglu/swiglu.hpp"

namespace moray::portable {

template <class Real>
void swiglu_forward(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                    Matrix<Real> act);

template <class Real>
void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<const Real> gu,
                     Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw);

}  // namespace moray::portable
