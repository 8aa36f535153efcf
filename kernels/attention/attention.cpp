#include "kernels/attention/attention.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/attention/attention_portable.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray {
namespace {

template <class T>
void require_extents(const Matrix<T>& x, std::int64_t rows, std::int64_t cols) {
  MORAY_REQUIRE(x.rows == rows && x.cols == cols && x.stride >= cols);
}

}  // namespace

// Enough for any variant, so that a plan does not depend on the machine that makes it.
template <class Real>
std::int64_t attention_workspace(const AttentionShape& shape) {
  const std::int64_t portable = portable::attention_workspace<Real>(shape);
  if (!kHostBackend || !std::is_same_v<Real, float>) return portable;
  return std::max(portable, attention_host_workspace(shape));
}

template <class Real>
void attention_forward(const ExecSpace& exec, const AttentionShape& shape, Matrix<const Real> q,
                       Matrix<const Real> kv, Matrix<const Real> k_pe, Vector<std::byte> workspace,
                       Matrix<Real> m, Matrix<Real> l, Matrix<Real> o) {
  const std::int64_t tokens = shape.sequences * shape.rows;
  require_extents(q, tokens, shape.heads * (shape.nope + shape.rope));
  require_extents(kv, tokens, shape.heads * (shape.nope + shape.value));
  require_extents(k_pe, tokens, shape.rope);
  require_extents(m, tokens, shape.heads);
  require_extents(l, tokens, shape.heads);
  require_extents(o, tokens, shape.heads * shape.value);
  MORAY_REQUIRE(shape.nope + shape.rope > 0);
  MORAY_REQUIRE(workspace.size >= attention_workspace<Real>(shape));
  if (tokens == 0) return;
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::attention)) {
      return attention_host_forward(exec, *host->attention, shape, q, kv, k_pe, workspace, m, l, o);
    }
  }
  portable::attention_forward<Real>(exec, shape, q, kv, k_pe, m, l, o);
}

template <class Real>
void attention_backward(const ExecSpace& exec, const AttentionShape& shape, Real scale,
                        Matrix<const Real> dout, Matrix<const Real> o, Matrix<const Real> q,
                        Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<const Real> m,
                        Matrix<const Real> l, Vector<std::byte> workspace, Matrix<Real> dq,
                        Matrix<Real> dkv, Matrix<Real> dk_pe) {
  const std::int64_t tokens = shape.sequences * shape.rows;
  require_extents(dout, tokens, shape.heads * shape.value);
  require_extents(o, tokens, shape.heads * shape.value);
  require_extents(dq, tokens, shape.heads * (shape.nope + shape.rope));
  require_extents(dkv, tokens, shape.heads * (shape.nope + shape.value));
  require_extents(dk_pe, tokens, shape.rope);
  MORAY_REQUIRE(workspace.size >= attention_workspace<Real>(shape));
  if (tokens == 0) return;
  if constexpr (std::is_same_v<Real, float>) {
    if (const HostKernels* host = selected_host_kernels(Op::attention)) {
      return attention_host_backward(exec, *host->attention, shape, scale, dout, o, q, kv, k_pe, m,
                                     l, workspace, dq, dkv, dk_pe);
    }
  }
  portable::attention_backward<Real>(exec, shape, scale, dout, o, q, kv, k_pe, m, l, workspace, dq,
                                     dkv, dk_pe);
}

#define MORAY_INSTANTIATE(Real)                                                                \
  template std::int64_t attention_workspace<Real>(const AttentionShape&);                      \
  template void attention_forward(const ExecSpace&, const AttentionShape&, Matrix<const Real>, \
                                  Matrix<const Real>, Matrix<const Real>, Vector<std::byte>,   \
                                  Matrix<Real>, Matrix<Real>, Matrix<Real>);                   \
  template void attention_backward(                                                            \
      const ExecSpace&, const AttentionShape&, Real, Matrix<const Real>, Matrix<const Real>,   \
      Matrix<const Real>, Matrix<const Real>, Matrix<const Real>, Matrix<const Real>,          \
      Matrix<const Real>, Vector<std::byte>, Matrix<Real>, Matrix<Real>, Matrix<Real>);
MORAY_INSTANTIATE(float)
MORAY_INSTANTIATE(double)
#undef MORAY_INSTANTIATE

}  // namespace moray
