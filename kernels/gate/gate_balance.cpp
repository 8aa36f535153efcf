#include "kernels/functions/row_reduction.hpp"
#include "kernels/gate/gate_rule.hpp"
#include "kernels/gate/selection.hpp"

namespace moray {

template <class Real>
void gate_unlimited_counts(const ExecSpace& exec, std::int64_t top_k, Matrix<const Real> s,
                           Matrix<std::int64_t> counts) {
  static const std::string label = "moray::gate::unlimited_counts";
  const std::int64_t experts = s.cols;
  MORAY_REQUIRE(counts.cols == experts && counts.rows > 0 && s.rows % counts.rows == 0);
  MORAY_REQUIRE(top_k >= 1 && top_k <= experts && top_k <= kMaxGateChoices);
  const std::int64_t rows = s.rows / counts.rows;  // of a sequence
  parallel_for(
      label, exec, s.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* row = s.row(t);
        Best<Real, kMaxGateChoices> best(top_k);
        for (std::int64_t e = 0; e < experts; ++e) best.offer(or_lowest(row[e]), e);
        for (std::int64_t i = 0; i < top_k; ++i) {
          Kokkos::atomic_add(&counts(t / rows, best.index(i)), std::int64_t{1});
        }
      });
}

template <class Real>
void gate_balance_loss(const ExecSpace& exec, const GateRule& rule, std::int64_t sample_rows,
                       Real alpha, Matrix<const Real> s, Matrix<const std::int64_t> counts,
                       Matrix<Real> q, Vector<Real> loss) {
  static const std::string label = "moray::gate::balance_loss";
  const std::int64_t experts = s.cols;
  const std::int64_t sequences = counts.rows;
  require_valid(rule);
  MORAY_REQUIRE(rule.experts == experts && counts.cols == experts && sample_rows > 0);
  MORAY_REQUIRE(sequences > 0 && s.rows % sequences == 0);
  MORAY_REQUIRE(q.rows == sequences && q.cols == experts && loss.size == sequences);
  const std::int64_t rows = s.rows / sequences;
  const auto choices = static_cast<Real>(rule.top_k * sample_rows);  // float32(K T)
  parallel_for(
      label, exec, sequences, KOKKOS_LAMBDA(const std::int64_t b) {
        Real* chain = q.row(b);  // sums of n over the sequence first, q at the end
        for (std::int64_t e = 0; e < experts; ++e) chain[e] = Real(0);
        for (std::int64_t t = b * rows; t < (b + 1) * rows; ++t) {
          const Real* row = s.row(t);
          const Real z = row_sum<Real>(experts, [=](std::int64_t e) { return row[e]; });
          for (std::int64_t e = 0; e < experts; ++e) chain[e] = chain[e] + row[e] / z;
        }
        const auto f = [=](std::int64_t e) {
          return static_cast<Real>(experts * counts(b, e)) / choices;
        };
        const Real sum = row_product_sum<Real>(
            experts, f, [=](std::int64_t e) { return chain[e] / static_cast<Real>(sample_rows); });
        loss[b] = alpha * sum;
        for (std::int64_t e = 0; e < experts; ++e) chain[e] = alpha * f(e);
      });
}

#define MORAY_INSTANTIATE(Real)                                                                 \
  template void gate_unlimited_counts(const ExecSpace&, std::int64_t, Matrix<const Real>,       \
                                      Matrix<std::int64_t>);                                    \
  template void gate_balance_loss(const ExecSpace&, const GateRule&, std::int64_t, Real,        \
                                  Matrix<const Real>, Matrix<const std::int64_t>, Matrix<Real>, \
                                  Vector<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
