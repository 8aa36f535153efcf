#include "kernels/rope/rope.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/functions/polynomials.hpp"

namespace moray {

template <class Real>
void rope(const ExecSpace& exec, Matrix<const Real> cosine, Matrix<const Real> sine,
          RopeBlocks blocks, std::int64_t sequence_rows, bool inverse, Matrix<Real> x) {
  MORAY_REQUIRE(blocks.width % 2 == 0);
  MORAY_REQUIRE(x.rows == 0 || sequence_rows > 0);
  MORAY_REQUIRE(std::min(x.rows, sequence_rows) <= cosine.rows && sine.rows == cosine.rows);
  MORAY_REQUIRE(cosine.cols == blocks.width / 2 && sine.cols == blocks.width / 2);
  static const std::string label = "moray::rope::rotate";
  // One index is a block of a row. The angle's sign moves into the sine, which is exact.
  const Real sign = inverse ? Real(-1) : Real(1);
  parallel_for(
      label, exec, x.rows * blocks.heads, KOKKOS_LAMBDA(std::int64_t index) {
        const std::int64_t t = index / blocks.heads;
        const std::int64_t h = index % blocks.heads;
        const Real* cos_row = cosine.row(t % sequence_rows);
        const Real* sin_row = sine.row(t % sequence_rows);
        Real* pair = x.row(t) + blocks.first + h * blocks.head_stride;
        for (std::int64_t i = 0; i < blocks.width / 2; ++i) {
          const Real a = pair[2 * i];
          const Real b = pair[2 * i + 1];
          const Real c = cos_row[i];
          const Real s = sign * sin_row[i];
          pair[2 * i] = fused(a, c, -(b * s));
          pair[2 * i + 1] = fused(a, s, b * c);
        }
      });
}

template void rope(const ExecSpace&, Matrix<const float>, Matrix<const float>, RopeBlocks,
                   std::int64_t, bool, Matrix<float>);
template void rope(const ExecSpace&, Matrix<const double>, Matrix<const double>, RopeBlocks,
                   std::int64_t, bool, Matrix<double>);

}  // namespace moray
