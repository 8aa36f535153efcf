#include "kernels/attention/latent_softmax.hpp"

#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"

namespace moray {

template <class Real>
void latent_softmax(const ExecSpace& exec, LatentRows rows, Matrix<Real> scores) {
  static const std::string label = "moray::attention::latent_softmax";
  parallel_for(
      label, exec, scores.rows, KOKKOS_LAMBDA(const std::int64_t i) {
        Real* row = scores.row(i);
        const std::int64_t n = rows.first + i / rows.heads % rows.queries;
        const Real m = row_max<Real>(n, [&](std::int64_t j) { return row[j]; });
        for (std::int64_t j = 0; j < n; ++j) {
          const Real d = row[j] - m;
          row[j] = d < Real(-40) ? Real(0) : exp_exact(d);
        }
        const Real r = Real(1) / row_sum<Real>(n, [&](std::int64_t j) { return row[j]; });
        for (std::int64_t j = 0; j < n; ++j) row[j] = row[j] * r;
      });
}

template void latent_softmax(const ExecSpace&, LatentRows, Matrix<float>);
template void latent_softmax(const ExecSpace&, LatentRows, Matrix<double>);

}  // namespace moray
