#include <cmath>

#include "kernels/functions/row_reduction.hpp"
#include "kernels/gate/gate_rule.hpp"

namespace moray {
namespace {

/// ds of the routing weights: (scale / S) (dw - chain(dw_j p_j)) for the selected experts, or
/// scale dw without normalisation; +0 for the others.
template <class Real>
KOKKOS_INLINE_FUNCTION void weight_gradient(const GateRule& rule, const Real* dw, const Real* s,
                                            const std::int32_t* selected, Real* ds) {
  for (std::int64_t e = 0; e < rule.experts; ++e) ds[e] = Real(0);
  const Real factor = static_cast<Real>(rule.scale);
  if (!normalizes(rule)) {
    for (std::int64_t k = 0; k < rule.top_k; ++k) ds[selected[k]] = factor * dw[k];
    return;
  }
  const Real sum = selected_sum(rule, s, selected);
  Real chain = 0;
  for (std::int64_t k = 0; k < rule.top_k; ++k) {
    chain = std::fma(dw[k], s[selected[k]] / sum, chain);
  }
  chain = chain + Real(0);  // never -0
  for (std::int64_t k = 0; k < rule.top_k; ++k) {
    ds[selected[k]] = (factor / sum) * (dw[k] - chain);
  }
}

/// ds = ds + (q - rowred(q n)) / Z, Z = rowred(s), n = s / Z.
template <class Real>
KOKKOS_INLINE_FUNCTION void add_balance_gradient(std::int64_t experts, const Real* q, const Real* s,
                                                 Real* ds) {
  const Real z = row_sum<Real>(experts, [=](std::int64_t e) { return s[e]; });
  const Real mean = row_product_sum<Real>(
      experts, [=](std::int64_t e) { return q[e]; }, [=](std::int64_t e) { return s[e] / z; });
  for (std::int64_t e = 0; e < experts; ++e) ds[e] = ds[e] + (q[e] - mean) / z;
}

/// dlogit from ds, in place.
template <class Real>
KOKKOS_INLINE_FUNCTION void score_gradient(GateScore score, std::int64_t experts, const Real* s,
                                           Real* ds) {
  if (score == GateScore::sigmoid) {
    for (std::int64_t e = 0; e < experts; ++e) ds[e] = ds[e] * (s[e] * (Real(1) - s[e]));
    return;
  }
  const Real mean = row_product_sum<Real>(
      experts, [=](std::int64_t e) { return ds[e]; }, [=](std::int64_t e) { return s[e]; });
  for (std::int64_t e = 0; e < experts; ++e) ds[e] = s[e] * (ds[e] - mean);
}

}  // namespace

template <class Real>
void gate_backward(const ExecSpace& exec, const GateRule& rule, Matrix<const Real> dw,
                   Matrix<const Real> s, Matrix<const std::int32_t> selected, Matrix<const Real> q,
                   Matrix<Real> dlogit) {
  static const std::string label = "moray::gate::backward";
  require_valid(rule);
  MORAY_REQUIRE(s.cols == rule.experts && dlogit.rows == s.rows && dlogit.cols == s.cols);
  MORAY_REQUIRE(dw.rows == s.rows && dw.cols == rule.top_k);
  MORAY_REQUIRE(selected.rows == s.rows && selected.cols == rule.top_k);
  MORAY_REQUIRE(q.rows == 0 || (q.cols == rule.experts && s.rows % q.rows == 0));
  const std::int64_t rows = q.rows == 0 ? 1 : s.rows / q.rows;  // of a sequence
  parallel_for(
      label, exec, s.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        Real* ds = dlogit.row(t);
        weight_gradient(rule, dw.row(t), s.row(t), selected.row(t), ds);
        if (q.rows > 0) add_balance_gradient(rule.experts, q.row(t / rows), s.row(t), ds);
        score_gradient(rule.score, rule.experts, s.row(t), ds);
      });
}

template void gate_backward(const ExecSpace&, const GateRule&, Matrix<const float>,
                            Matrix<const float>, Matrix<const std::int32_t>, Matrix<const float>,
                            Matrix<float>);
template void gate_backward(const ExecSpace&, const GateRule&, Matrix<const double>,
                            Matrix<const double>, Matrix<const std::int32_t>, Matrix<const double>,
                            Matrix<double>);

}  // namespace moray
