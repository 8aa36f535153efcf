#pragma once

#include "core/matrix.hpp"

namespace moray {

/// Scores of one query each to probabilities, in place: p_j = e_j (1 / l) with e_j = exp(s_j - m),
/// +0 where s_j - m < -40, m the row's maximum and l the row reduction of e. scores (R, P), P >= 1.
/// Does not fence.
template <class Real>
void latent_softmax(const ExecSpace& exec, Matrix<Real> scores);

}  // namespace moray
