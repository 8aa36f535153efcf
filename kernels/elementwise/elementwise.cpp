#include "kernels/elementwise/elementwise.hpp"

#include "core/error.hpp"
#include "kernels/elementwise/elementwise_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray {
namespace {

template <class A, class B>
bool same_shape(const Matrix<A>& a, const Matrix<B>& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

}  // namespace

template <class Real>
void add(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b, Matrix<Real> out) {
  MORAY_REQUIRE(same_shape(a, out) && same_shape(b, out));
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::elementwise)) {
      return host::add(exec, *host->elementwise, a, b, out);
    }
  }
  portable::add(exec, a, b, out);
}

template <class Real>
void add_sum(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b,
             Matrix<const Real> c, Matrix<Real> out) {
  MORAY_REQUIRE(same_shape(a, out) && same_shape(b, out) && same_shape(c, out));
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::elementwise)) {
      return host::add_sum(exec, *host->elementwise, a, b, c, out);
    }
  }
  portable::add_sum(exec, a, b, c, out);
}

template <class Real>
void copy(const ExecSpace& exec, Matrix<const Real> a, Matrix<Real> out) {
  MORAY_REQUIRE(same_shape(a, out));
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::elementwise)) {
      return host::copy(exec, *host->elementwise, a, out);
    }
  }
  portable::copy(exec, a, out);
}

template <class Real>
void scale(const ExecSpace& exec, Real factor, Matrix<Real> x) {
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::elementwise)) {
      return host::scale(exec, *host->elementwise, factor, x);
    }
  }
  portable::scale(exec, factor, x);
}

template <class Real>
void zero(const ExecSpace& exec, Matrix<Real> x) {
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::elementwise)) {
      return host::zero(exec, *host->elementwise, x);
    }
  }
  portable::zero(exec, x);
}

#define MORAY_INSTANTIATE(Real)                                                              \
  template void add(const ExecSpace&, Matrix<const Real>, Matrix<const Real>, Matrix<Real>); \
  template void add_sum(const ExecSpace&, Matrix<const Real>, Matrix<const Real>,            \
                        Matrix<const Real>, Matrix<Real>);                                   \
  template void copy(const ExecSpace&, Matrix<const Real>, Matrix<Real>);                    \
  template void scale(const ExecSpace&, Real, Matrix<Real>);                                 \
  template void zero(const ExecSpace&, Matrix<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE
template void zero(const ExecSpace&, Matrix<std::int64_t>);

}  // namespace moray
