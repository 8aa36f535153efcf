#include "kernels/gemm/gemm.hpp"

#include "core/error.hpp"
#include "kernels/gemm/gemm_variants.hpp"

namespace moray {

template <class Real>
void gemm(const ExecSpace& exec, GemmForm form, std::span<const GemmTask<Real>> tasks) {
  gemm_portable(exec, form, tasks);
}

template <class Real>
void gemm(const ExecSpace& exec, GemmForm form, Matrix<const Real> a, Matrix<const Real> b,
          Matrix<Real> c) {
  const bool a_transposed = form == GemmForm::tn;
  const bool b_transposed = form == GemmForm::nt;
  const std::int64_t k = a_transposed ? a.rows : a.cols;
  MORAY_REQUIRE((a_transposed ? a.cols : a.rows) == c.rows);
  MORAY_REQUIRE((b_transposed ? b.rows : b.cols) == c.cols);
  MORAY_REQUIRE((b_transposed ? b.cols : b.rows) == k);
  const GemmTask<Real> task = {a.data,   a.stride, b.data, b.stride, c.data,
                               c.stride, c.rows,   c.cols, k};
  gemm<Real>(exec, form, {&task, 1});
}

template void gemm(const ExecSpace&, GemmForm, std::span<const GemmTask<float>>);
template void gemm(const ExecSpace&, GemmForm, std::span<const GemmTask<double>>);
template void gemm(const ExecSpace&, GemmForm, Matrix<const float>, Matrix<const float>,
                   Matrix<float>);
template void gemm(const ExecSpace&, GemmForm, Matrix<const double>, Matrix<const double>,
                   Matrix<double>);

}  // namespace moray
