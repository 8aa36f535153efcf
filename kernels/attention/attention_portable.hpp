#pragma once

#include "kernels/attention/attention.hpp"

/// The plain definition of attention on Kokkos: the variant that other ones are compared with, and
/// the one for devices and for float64. Arguments as in attention.hpp, already checked.
namespace moray::portable {

template <class Real>
std::int64_t attention_workspace(const AttentionShape& shape);

template <class Real>
void attention_forward(const ExecSpace& exec, const AttentionShape& shape, Matrix<const Real> q,
                       Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<Real> m,
                       Matrix<Real> l, Matrix<Real> o);

template <class Real>
void attention_backward(const ExecSpace& exec, const AttentionShape& shape, Real scale,
                        Matrix<const Real> dout, Matrix<const Real> o, Matrix<const Real> q,
                        Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<const Real> m,
                        Matrix<const Real> l, Vector<std::byte> workspace, Matrix<Real> dq,
                        Matrix<Real> dkv, Matrix<Real> dk_pe);

/// out (T, rope): the heads' parts (T, H rope) added in head order, ((d_0 + d_1) + d_2) ...
template <class Real>
void add_heads(const ExecSpace& exec, std::int64_t heads, Matrix<const Real> parts,
               Matrix<Real> out);

}  // namespace moray::portable
