#pragma once

#include "core/matrix.hpp"
#include "kernels/quantize/quantize.hpp"

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

/// The bits of dequantize_tokens(codes, gu) followed by swiglu_forward(gu, w, act), in one pass over
/// memory. gu is room: what is in it afterwards is not defined.
void swiglu_forward(const ExecSpace& exec, const Quantized& codes, Matrix<float> gu,
                    Vector<const float> w, Matrix<float> act);

/// The bits of dequantize_tokens followed by swiglu_backward, in one pass.
void swiglu_backward(const ExecSpace& exec, Matrix<const float> dh, const Quantized& codes,
                     Vector<const float> w, Matrix<float> dgu, Vector<float> dw);

}  // namespace moray
