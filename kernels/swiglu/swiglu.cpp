#include "kernels/swiglu/swiglu.hpp"

#include "core/error.hpp"
#include "kernels/host/host_rows.hpp"
#include "kernels/swiglu/swiglu_variants.hpp"

namespace moray {

template <class Real>
void swiglu_forward(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                    Matrix<Real> act) {
  MORAY_REQUIRE(gu.rows == act.rows && gu.cols == 2 * act.cols);
  MORAY_REQUIRE(w.size == 0 || w.size == act.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::swiglu)) {
      return host::swiglu_forward(exec, *host->swiglu, gu, w, act);
    }
  }
  portable::swiglu_forward(exec, gu, w, act);
}

template <class Real>
void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<const Real> gu,
                     Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw) {
  MORAY_REQUIRE(gu.rows == dh.rows && gu.cols == 2 * dh.cols);
  MORAY_REQUIRE(dgu.rows == dh.rows && dgu.cols == gu.cols);
  MORAY_REQUIRE(w.size == 0 || (w.size == dh.rows && dw.size == dh.rows));
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::swiglu)) {
      return host::swiglu_backward(exec, *host->swiglu, dh, gu, w, dgu, dw);
    }
  }
  portable::swiglu_backward(exec, dh, gu, w, dgu, dw);
}

void swiglu_forward(const ExecSpace& exec, const Quantized& codes, Matrix<float> gu,
                    Vector<const float> w, Matrix<float> act) {
  MORAY_REQUIRE(codes.codes.rows == act.rows && gu.rows == act.rows && gu.cols == 2 * act.cols);
  MORAY_REQUIRE(w.size == 0 || w.size == act.rows);
  if (const HostKernels* host = selected_host_kernels(Op::swiglu))
    return host::swiglu_forward(exec, *host, codes, gu, w, act);
  dequantize_tokens(exec, codes, gu);
  portable::swiglu_forward<float>(exec, gu, w, act);
}

void swiglu_backward(const ExecSpace& exec, Matrix<const float> dh, const Quantized& codes,
                     Vector<const float> w, Matrix<float> dgu, Vector<float> dw) {
  MORAY_REQUIRE(codes.codes.rows == dh.rows && dgu.rows == dh.rows && dgu.cols == 2 * dh.cols);
  MORAY_REQUIRE(w.size == 0 || (w.size == dh.rows && dw.size == dh.rows));
  if (const HostKernels* host = selected_host_kernels(Op::swiglu))
    return host::swiglu_backward(exec, *host, dh, codes, w, dgu, dw);
  dequantize_tokens(exec, codes, dgu);
  portable::swiglu_backward<float>(exec, dh, dgu, w, dgu, dw);
}

#define MORAY_INSTANTIATE(Real)                                                           \
  template void swiglu_forward(const ExecSpace&, Matrix<const Real>, Vector<const Real>,  \
                               Matrix<Real>);                                             \
  template void swiglu_backward(const ExecSpace&, Matrix<const Real>, Matrix<const Real>, \
                                Vector<const Real>, Matrix<Real>, Vector<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
