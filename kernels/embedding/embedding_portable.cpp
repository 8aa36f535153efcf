#include "core/error.hpp"
#include "kernels/embedding/embedding.hpp"

namespace moray {
namespace {

/// Columns of the table that one work item adds: contiguous on a host, neighbouring threads on a
/// device. Items never share an element, and each walks the tokens in order.
constexpr std::int64_t kColumns = kHostBackend ? 64 : 1;

}  // namespace

template <class Real>
void embedding_forward(const ExecSpace& exec, Matrix<const Real> table,
                       Vector<const std::int32_t> tokens, Matrix<Real> out) {
  static const std::string label = "moray::embedding::forward";
  MORAY_REQUIRE(out.rows == tokens.size && out.cols == table.cols);
  parallel_for(
      label, exec, out.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* source = table.row(tokens[t]);
        Real* target = out.row(t);
        for (std::int64_t j = 0; j < out.cols; ++j) target[j] = source[j];
      });
}

template <class Real>
void embedding_backward(const ExecSpace& exec, Matrix<const Real> dy,
                        Vector<const std::int32_t> tokens, Matrix<Real> dtable) {
  static const std::string label = "moray::embedding::backward";
  MORAY_REQUIRE(dy.rows == tokens.size && dy.cols == dtable.cols);
  const std::int64_t width = dy.cols;
  parallel_for(
      label, exec, (width + kColumns - 1) / kColumns, KOKKOS_LAMBDA(const std::int64_t block) {
        const std::int64_t begin = block * kColumns;
        const std::int64_t end = begin + kColumns < width ? begin + kColumns : width;
        for (std::int64_t t = 0; t < dy.rows; ++t) {
          const Real* source = dy.row(t);
          Real* target = dtable.row(tokens[t]);
          // A chain returns c + 0, never -0; between its terms the + 0 changes nothing.
          for (std::int64_t j = begin; j < end; ++j) target[j] = (target[j] + source[j]) + Real(0);
        }
      });
}

#define MORAY_INSTANTIATE(Real)                                              \
  template void embedding_forward(const ExecSpace&, Matrix<const Real>,      \
                                  Vector<const std::int32_t>, Matrix<Real>); \
  template void embedding_backward(const ExecSpace&, Matrix<const Real>,     \
                                   Vector<const std::int32_t>, Matrix<Real>)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
