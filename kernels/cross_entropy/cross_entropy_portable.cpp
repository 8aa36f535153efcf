#include "kernels/cross_entropy/cross_entropy_variants.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"

namespace moray::portable {
namespace {

/// e = exp(logit - m), +0 where the difference is below -40: no denormal is ever formed.
template <class Real>
KOKKOS_FORCEINLINE_FUNCTION Real shifted_exp(Real logit, Real m) {
  const Real difference = logit - m;
  return difference < Real(-40) ? Real(0) : exp_exact(difference);
}

}  // namespace

template <class Real>
void cross_entropy_forward(const ExecSpace& exec, Matrix<const Real> logits,
                           Vector<const std::int32_t> targets, Vector<Real> m, Vector<Real> l,
                           Vector<Real> loss) {
  static const std::string label = "moray::cross_entropy::forward";
  parallel_for(
      label, exec, logits.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* row = logits.row(t);
        Real highest = row[0];
        for (std::int64_t j = 1; j < logits.cols; ++j) {
          highest = row[j] > highest ? row[j] : highest;
        }
        highest += Real(0);  // -0 and +0 are the same maximum: +0 is kept
        const Real sum = row_reduction<Real>(
            logits.cols, [=](std::int64_t j, Real c) { return c + shifted_exp(row[j], highest); });
        m[t] = highest;
        l[t] = sum;
        loss[t] = (highest + log_exact(sum)) - row[targets[t]];
      });
}

template <class Real>
void cross_entropy_backward(const ExecSpace& exec, Matrix<const Real> logits,
                            Vector<const std::int32_t> targets, Vector<const Real> m,
                            Vector<const Real> l, Real lambda, Matrix<Real> dlogit) {
  static const std::string label = "moray::cross_entropy::backward";
  parallel_for(
      label, exec, logits.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* row = logits.row(t);
        Real* out = dlogit.row(t);
        const Real r = Real(1) / l[t];
        const Real highest = m[t];
        const Real p = shifted_exp(row[targets[t]], highest) * r;  // before dlogit overwrites it
        for (std::int64_t j = 0; j < logits.cols; ++j) {
          out[j] = (shifted_exp(row[j], highest) * r) * lambda;
        }
        out[targets[t]] = (p - Real(1)) * lambda;
      });
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

}  // namespace moray::portable
