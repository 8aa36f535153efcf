#include <cmath>

#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"
#include "kernels/swiglu/swiglu_variants.hpp"

namespace moray::portable {
namespace {

/// The gradients of one pair (g, u) from da; returns a = silu(g) u. Both inputs are read before an
/// output is written, so that dgu may be gu.
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION Real backward_pair(Real da, Real g, Real u, Real& dg, Real& du) {
  const Real s = sigmoid_exact(g);
  const Real silu = g * s;
  du = da * silu;
  dg = (da * u) * dsilu_exact(g, s);
  return silu * u;
}

}  // namespace

template <class Real>
void swiglu_forward(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                    Matrix<Real> act) {
  static const std::string label = "moray::swiglu::forward";
  const std::int64_t width = act.cols;
  parallel_for(
      label, exec, act.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* g = gu.row(t);
        const Real* u = g + width;
        Real* out = act.row(t);
        for (std::int64_t j = 0; j < width; ++j) {
          const Real a = silu_exact(g[j]) * u[j];
          out[j] = w.size == 0 ? a : a * w[t];
        }
      });
}

template <class Real>
void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<const Real> gu,
                     Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw) {
  static const std::string label = "moray::swiglu::backward";
  const std::int64_t width = dh.cols;
  parallel_for(
      label, exec, dh.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* dh_row = dh.row(t);
        const Real* g = gu.row(t);
        const Real* u = g + width;
        Real* dg = dgu.row(t);
        Real* du = dg + width;
        if (w.size == 0) {
          for (std::int64_t j = 0; j < width; ++j) {
            backward_pair(dh_row[j], g[j], u[j], dg[j], du[j]);
          }
          return;
        }
        // The reduction visits each column once: the gradients are written on the way.
        const Real weight = w[t];
        dw[t] = row_reduction<Real>(width, [=](std::int64_t j, Real c) {
          const Real a = backward_pair(dh_row[j] * weight, g[j], u[j], dg[j], du[j]);
          return std::fma(dh_row[j], a, c);
        });
      });
}

#define MORAY_INSTANTIATE(Real)                                                           \
  template void swiglu_forward(const ExecSpace&, Matrix<const Real>, Vector<const Real>,  \
                               Matrix<Real>);                                             \
  template void swiglu_backward(const ExecSpace&, Matrix<const Real>, Matrix<const Real>, \
                                Vector<const Real>, Matrix<Real>, Vector<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray::portable
