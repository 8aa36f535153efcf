#include "kernels/cross_entropy/cross_entropy.hpp"

#include "core/error.hpp"
#include "kernels/cross_entropy/cross_entropy_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray {

template <class Real>
void cross_entropy_forward(const ExecSpace& exec, Matrix<const Real> logits,
                           Vector<const std::int32_t> targets, Vector<Real> m, Vector<Real> l,
                           Vector<Real> loss) {
  MORAY_REQUIRE(logits.cols > 0 && targets.size == logits.rows);
  MORAY_REQUIRE(m.size == logits.rows && l.size == logits.rows && loss.size == logits.rows);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::cross_entropy)) {
      return host::cross_entropy_forward(exec, *host->cross_entropy, logits, targets, m, l, loss);
    }
  }
  portable::cross_entropy_forward(exec, logits, targets, m, l, loss);
}

template <class Real>
void cross_entropy_backward(const ExecSpace& exec, Matrix<const Real> logits,
                            Vector<const std::int32_t> targets, Vector<const Real> m,
                            Vector<const Real> l, Real lambda, Matrix<Real> dlogit) {
  MORAY_REQUIRE(targets.size == logits.rows && m.size == logits.rows && l.size == logits.rows);
  MORAY_REQUIRE(dlogit.rows == logits.rows && dlogit.cols == logits.cols);
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::cross_entropy)) {
      return host::cross_entropy_backward(exec, *host->cross_entropy, logits, targets, m, l, lambda,
                                          dlogit);
    }
  }
  portable::cross_entropy_backward(exec, logits, targets, m, l, lambda, dlogit);
}

#define MORAY_INSTANTIATE(Real)                                                               \
  template void cross_entropy_forward(const ExecSpace&, Matrix<const Real>,                   \
                                      Vector<const std::int32_t>, Vector<Real>, Vector<Real>, \
                                      Vector<Real>);                                          \
  template void cross_entropy_backward(const ExecSpace&, Matrix<const Real>,                  \
                                       Vector<const std::int32_t>, Vector<const Real>,        \
                                       Vector<const Real>, Real, Matrix<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
