#include <cmath>

#include "kernels/functions/row_reduction.hpp"
#include "kernels/rmsnorm/rmsnorm_variants.hpp"

namespace moray::portable {
namespace {

/// Columns of dgamma that one work item sums: contiguous on a host, neighbouring threads on a
/// device.
constexpr std::int64_t kColumns = kHostBackend ? 64 : 1;

/// y = (x r) gamma for one row of `width`.
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION void normalize_row(const Real* x, const Real* gamma, Real r,
                                               std::int64_t width, Real* y) {
  for (std::int64_t j = 0; j < width; ++j) y[j] = (x[j] * r) * gamma[j];
}

}  // namespace

template <class Real>
void rmsnorm_forward(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                     Real eps, Matrix<Real> y, Vector<Real> r) {
  static const std::string label = "moray::rmsnorm::forward";
  const std::int64_t width = x.cols;
  parallel_for(
      label, exec, x.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* row = x.row(t);
        const Real sum = row_reduction<Real>(
            width, [=](std::int64_t j, Real c) { return std::fma(row[j], row[j], c); });
        const Real inverse = Real(1) / std::sqrt(sum / static_cast<Real>(width) + eps);
        r[t] = inverse;
        normalize_row(row, gamma.data, inverse, width, y.row(t));
      });
}

template <class Real>
void rmsnorm_recompute(const ExecSpace& exec, Matrix<const Real> x, Vector<const Real> gamma,
                       Vector<const Real> r, Matrix<Real> y) {
  static const std::string label = "moray::rmsnorm::recompute";
  parallel_for(
      label, exec, x.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        normalize_row(x.row(t), gamma.data, r[t], x.cols, y.row(t));
      });
}

template <class Real>
void rmsnorm_backward_input(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                            Vector<const Real> gamma, Vector<const Real> r, Matrix<Real> dx) {
  static const std::string label = "moray::rmsnorm::backward_input";
  const std::int64_t width = x.cols;
  parallel_for(
      label, exec, x.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* dy_row = dy.row(t);
        const Real* x_row = x.row(t);
        Real* dx_row = dx.row(t);
        const Real inverse = r[t];
        const Real sum = row_reduction<Real>(width, [=](std::int64_t j, Real c) {
          return std::fma(dy_row[j] * gamma[j], x_row[j] * inverse, c);
        });
        const Real mean = sum / static_cast<Real>(width);
        for (std::int64_t j = 0; j < width; ++j) {
          const Real xhat = x_row[j] * inverse;
          dx_row[j] = inverse * (dy_row[j] * gamma[j] - xhat * mean);
        }
      });
}

template <class Real>
void rmsnorm_backward_weight(const ExecSpace& exec, Matrix<const Real> dy, Matrix<const Real> x,
                             Vector<const Real> r, Vector<Real> dgamma) {
  static const std::string label = "moray::rmsnorm::backward_weight";
  const std::int64_t width = x.cols;
  parallel_for(
      label, exec, (width + kColumns - 1) / kColumns, KOKKOS_LAMBDA(const std::int64_t block) {
        const std::int64_t begin = block * kColumns;
        const std::int64_t end = begin + kColumns < width ? begin + kColumns : width;
        for (std::int64_t t = 0; t < x.rows; ++t) {
          const Real inverse = r[t];
          const Real* dy_row = dy.row(t);
          const Real* x_row = x.row(t);
          for (std::int64_t j = begin; j < end; ++j) {
            dgamma[j] = std::fma(dy_row[j], x_row[j] * inverse, dgamma[j]);
          }
        }
        for (std::int64_t j = begin; j < end; ++j) dgamma[j] += Real(0);  // never -0
      });
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

}  // namespace moray::portable
