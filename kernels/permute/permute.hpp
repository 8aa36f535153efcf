#pragma once

#include <cstddef>
#include <cstdint>

#include "core/matrix.hpp"

namespace moray {

/// out (R, W) row r = in row source[r].
template <class Real>
void gather_rows(const ExecSpace& exec, Matrix<const Real> in, Vector<const std::int32_t> source,
                 Matrix<Real> out);
/// The same for rows of whole 4-byte words whose meaning is the caller's.
void gather_row_bytes(const ExecSpace& exec, Matrix<const std::byte> in,
                      Vector<const std::int32_t> source, Matrix<std::byte> out);

/// Experts of a token that tree_combine can add.
inline constexpr std::int64_t kMaxChoices = 64;

/// The sum of a token's expert rows along the tree of halving [0, E), docs/numerics.md section 3:
/// [lo, hi) splits at lo + ceil((hi - lo) / 2); absent children are skipped.
/// rows (R, W); selected (T, K) in increasing expert index, ended by -1 where a token has fewer
/// (but at least one); row_of (T, K) the row of each choice.
/// out (T, W) is overwritten. This is combine, and the backward of dispatch. 1 <= K <= kMaxChoices.
/// Under TreeSums::bf16 (float32 only) each sum is rounded to bf16 where it is formed; rows are bf16
/// values already.
enum class TreeSums { exact, bf16 };
template <class Real>
void tree_combine(const ExecSpace& exec, std::int64_t experts, Matrix<const Real> rows,
                  Matrix<const std::int32_t> selected, Matrix<const std::int32_t> row_of,
                  Matrix<Real> out, TreeSums sums = TreeSums::exact);

}  // namespace moray
