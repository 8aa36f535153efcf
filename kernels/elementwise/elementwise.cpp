#include "kernels/elementwise/elementwise.hpp"

#include "core/error.hpp"
#include "kernels/elementwise/elementwise_variants.hpp"

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
  portable::add(exec, a, b, out);
}

template <class Real>
void add_sum(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b,
             Matrix<const Real> c, Matrix<Real> out) {
  MORAY_REQUIRE(same_shape(a, out) && same_shape(b, out) && same_shape(c, out));
  portable::add_sum(exec, a, b, c, out);
}

template <class Real>
void copy(const ExecSpace& exec, Matrix<const Real> a, Matrix<Real> out) {
  MORAY_REQUIRE(same_shape(a, out));
  portable::copy(exec, a, out);
}

template <class Real>
void scale(const ExecSpace& exec, Real factor, Matrix<Real> x) {
  portable::scale(exec, factor, x);
}

template <class Real>
void zero(const ExecSpace& exec, Matrix<Real> x) {
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

}  // namespace moray
