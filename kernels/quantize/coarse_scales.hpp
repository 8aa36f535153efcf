#pragma once

#include "core/matrix.hpp"
#include "kernels/quantize/quantize_rule.hpp"

/// Values rounded to E4M3 with a power-of-two scale that more of them share than docs/fp8.md section 2
/// lets them: the ablations of section 4, never the recipe. Quantising the result with finer scales
/// of powers of two changes nothing more, so the products need not know.
namespace moray {

/// out = the values of x with one scale for the whole matrix. out may be x.
void round_with_one_scale(const ExecSpace& exec, Matrix<const float> x, Matrix<float> out);

/// The same with a scale for each block of rows and `columns` columns.
void round_with_block_scales(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const RowBlock> blocks, std::int64_t columns,
                             Matrix<float> out);

}  // namespace moray
