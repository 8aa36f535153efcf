#pragma once

#include "core/matrix.hpp"

namespace moray {

/// out (T, D) row t = table (V, D) row token[t]. Tokens are checked by the data loader.
template <class Real>
void embedding_forward(const ExecSpace& exec, Matrix<const Real> table,
                       Vector<const std::int32_t> tokens, Matrix<Real> out);

/// dtable row token[t] += dy row t: for each table row one chain in increasing t, from what is there.
template <class Real>
void embedding_backward(const ExecSpace& exec, Matrix<const Real> dy,
                        Vector<const std::int32_t> tokens, Matrix<Real> dtable);

}  // namespace moray
