#pragma once

#include "core/matrix.hpp"

namespace moray {

/// Sizes of the attention core of MLA (DeepSeek-V3 report, section 2.1.1), naive form: queries and
/// keys are [nope | rope], the rotary key is shared by all heads.
struct AttentionShape {
  std::int64_t sequences = 0;  ///< B
  std::int64_t rows = 0;       ///< S, positions of each sequence; matrices have B * S rows
  std::int64_t heads = 0;      ///< H
  std::int64_t nope = 0;
  std::int64_t rope = 0;
  std::int64_t value = 0;
};

/// Bytes of `workspace` that both calls need.
template <class Real>
std::int64_t attention_workspace(const AttentionShape& shape);

/// Causal attention of each sequence and head, docs/numerics.md section 5.
/// q (T, H (nope + rope)): head h is [nope | rope], rotated and already multiplied by the softmax
/// scale. kv (T, H (nope + value)): head h is [k_nope | v]. k_pe (T, rope): rotated.
/// s_ij is one chain over nope, then rope; m_i the row maximum over j <= i; e_ij = exp(s_ij - m_i),
/// +0 where s - m < -40; l_i the row reduction of e over j; o_i = (1 / l_i) chain_j(e_ij v_j).
/// Outputs: m, l (T, H) for the backward; o (T, H value).
template <class Real>
void attention_forward(const ExecSpace& exec, const AttentionShape& shape, Matrix<const Real> q,
                       Matrix<const Real> kv, Matrix<const Real> k_pe, Vector<std::byte> workspace,
                       Matrix<Real> m, Matrix<Real> l, Matrix<Real> o);

/// Gradients by recomputing e: r = 1 / l; u_i = r_i do_i; dV_j = chain_i(e_ij u_i);
/// delta_i = rowred(u_i o_i); dS_ij = e_ij (chain(u_i v_j) - delta_i);
/// dq_i = scale chain_j(dS_ij k_j) (still rotated); dK_j = chain_i(dS_ij q_i).
/// Outputs: dq (T, H (nope + rope)), dkv (T, H (nope + value)), dk_pe (T, rope): the heads' rotary
/// parts added in head order, ((d_0 + d_1) + d_2) ..., still rotated. Leaves delta (T, H) at the
/// beginning of the workspace.
template <class Real>
void attention_backward(const ExecSpace& exec, const AttentionShape& shape, Real scale,
                        Matrix<const Real> dout, Matrix<const Real> o, Matrix<const Real> q,
                        Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<const Real> m,
                        Matrix<const Real> l, Vector<std::byte> workspace, Matrix<Real> dq,
                        Matrix<Real> dkv, Matrix<Real> dk_pe);

}  // namespace moray
