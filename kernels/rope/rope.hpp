#pragma once

#include "core/matrix.hpp"

namespace moray {

/// Which parts of a row rotate: `heads` blocks, block h at column first + h * head_stride, `width`
/// columns each, rotated in pairs (x_2i, x_2i+1).
struct RopeBlocks {
  std::int64_t heads = 1;
  std::int64_t first = 0;
  std::int64_t head_stride = 0;
  std::int64_t width = 0;
};

/// Rotates in place. Row t has position t mod sequence_rows; the tables cosine and sine
/// (positions, width / 2) hold the correctly rounded values of the float32 angle.
/// a' = fma(a, cos, -(b sin)), b' = fma(a, sin, b cos); `inverse` takes -sin (the backward).
template <class Real>
void rope(const ExecSpace& exec, Matrix<const Real> cosine, Matrix<const Real> sine,
          RopeBlocks blocks, std::int64_t sequence_rows, bool inverse, Matrix<Real> x);

}  // namespace moray
