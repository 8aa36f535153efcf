#include "kernels/rmsnorm/rmsnorm.hpp"

#include "core/error.hpp"
#include "kernels/host/host_rows.hpp"
#include "kernels/rmsnorm/rmsnorm_variants.hpp"

namespace moray {

template <class Real>
void rmsnorm_forward(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                     Real eps, Matrix<Real> y, Vector<Real> r) {
  MORAY_REQUIRE(gamma.size == x.cols && y.cols == x.cols && y.rows == x.rows && r.size == x.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::rmsnorm)) {
      return host::rmsnorm_forward(exec, *host->rmsnorm, x, gamma, eps, y, r);
    }
  }
  portable::rmsnorm_forward(exec, x, gamma, eps, y, r);
}

template <class Real>
void rmsnorm_recompute(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                       Vector<const Real> r, Matrix<Real> y) {
  MORAY_REQUIRE(gamma.size == x.cols && y.cols == x.cols && y.rows == x.rows && r.size == x.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::rmsnorm)) {
      return host::rmsnorm_recompute(exec, *host->rmsnorm, x, gamma, r, y);
    }
  }
  portable::rmsnorm_recompute(exec, x, gamma, r, y);
}

template <class Real>
void rmsnorm_backward_input(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                            Vector<const Real> gamma, Vector<const Real> r, Matrix<Real> dx) {
  MORAY_REQUIRE(gamma.size == x.cols && dx.cols == x.cols && dx.rows == x.rows);
  MORAY_REQUIRE(dy.cols == x.cols && dy.rows == x.rows && r.size == x.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::rmsnorm)) {
      return host::rmsnorm_backward_input(exec, *host->rmsnorm, dy, x, gamma, r, dx);
    }
  }
  portable::rmsnorm_backward_input(exec, dy, x, gamma, r, dx);
}

template <class Real>
void rmsnorm_backward_weight(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                             Vector<const Real> r, Vector<Real> dgamma) {
  MORAY_REQUIRE(dgamma.size == x.cols);
  MORAY_REQUIRE(dy.cols == x.cols && dy.rows == x.rows && r.size == x.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::rmsnorm)) {
      return host::rmsnorm_backward_weight(exec, *host->rmsnorm, dy, x, r, dgamma);
    }
  }
  portable::rmsnorm_backward_weight(exec, dy, x, r, dgamma);
}

#define MORAY_INSTANTIATE(Real)                                                                   \
  template void rmsnorm_forward(const ExecSpace&, Matrix<const Real>, Vector<const Real>, Real,   \
                                Matrix<Real>, Vector<Real>);                                      \
  template void rmsnorm_recompute(const ExecSpace&, Matrix<const Real>, Vector<const Real>,       \
                                  Vector<const Real>, Matrix<Real>);                              \
  template void rmsnorm_backward_input(const ExecSpace&, Matrix<const Real>, Matrix<const Real>,  \
                                       Vector<const Real>, Vector<const Real>, Matrix<Real>);     \
  template void rmsnorm_backward_weight(const ExecSpace&, Matrix<const Real>, Matrix<const Real>, \
                                        Vector<const Real>, Vector<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
