#pragma once

#include "core/matrix.hpp"

namespace moray {

/// act (T, F) = (silu(g) u) [w]: gu (T, 2 F) is [gate | up]; w (T) is the routing weight of an
/// expert's row, or empty for the dense and shared FFN. silu(x) = x sigmoid(x).
template <class Real>
void swiglu_forward(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                    Matrix<Real> act);

/// dgu (T, 2 F) and, with w, dw (T) from dh (T, F), the gradient of down_proj's input:
/// a = silu(g) u; dw = rowred(dh a); da = dh w (dh without w); du = da silu(g); dg = (da u) dsilu(g),
/// dsilu(x) = s (1 + x (1 - s)), s = sigmoid(x). dgu may be gu.
template <class Real>
void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<const Real> gu,
                     Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw);

}  // namespace moray
