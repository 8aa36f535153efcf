#include "kernels/elementwise/elementwise_variants.hpp"
#include "kernels/elementwise/for_pieces.hpp"

namespace moray::portable {

template <class Real>
void add(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b, Matrix<Real> out) {
  static const std::string label = "moray::elementwise::add";
  for_pieces(
      label, exec, out.rows, out.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) out(i, j) = a(i, j) + b(i, j);
      });
}

template <class Real>
void add_sum(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b,
             Matrix<const Real> c, Matrix<Real> out) {
  static const std::string label = "moray::elementwise::add_sum";
  for_pieces(
      label, exec, out.rows, out.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) out(i, j) = a(i, j) + (b(i, j) + c(i, j));
      });
}

template <class Real>
void copy(const ExecSpace& exec, Matrix<const Real> a, Matrix<Real> out) {
  static const std::string label = "moray::elementwise::copy";
  for_pieces(
      label, exec, out.rows, out.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) out(i, j) = a(i, j);
      });
}

template <class Real>
void scale(const ExecSpace& exec, Real factor, Matrix<Real> x) {
  static const std::string label = "moray::elementwise::scale";
  for_pieces(
      label, exec, x.rows, x.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) x(i, j) *= factor;
      });
}

template <class Real>
void zero(const ExecSpace& exec, Matrix<Real> x) {
  static const std::string label = "moray::elementwise::zero";
  for_pieces(
      label, exec, x.rows, x.cols,
      KOKKOS_LAMBDA(std::int64_t i, std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) x(i, j) = Real(0);
      });
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

}  // namespace moray::portable
