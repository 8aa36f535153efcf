#pragma once

#include "core/matrix.hpp"

namespace moray {

/// Which cached positions the rows of scores see: row i is that of head i mod heads, of the query
/// at position i / heads mod queries of its sequence; the first query sees `first`, each next one
/// one more.
struct LatentRows {
  std::int64_t heads = 1;
  std::int64_t queries = 1;
  std::int64_t first = 1;
};

/// Scores of one query each to probabilities, in place: p_j = e_j (1 / l) with e_j = exp(s_j - m),
/// +0 where s_j - m < -40, m the row's maximum and l the row reduction of e, over the columns that
/// the row sees; the others are left as they are. scores (R, P), P >= first + queries - 1 >= 1. Does
/// not fence.
template <class Real>
void latent_softmax(const ExecSpace& exec, LatentRows rows, Matrix<Real> scores);

}  // namespace moray
