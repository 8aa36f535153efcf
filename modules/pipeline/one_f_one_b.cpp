#include <algorithm>

#include "pipeline/programs.hpp"

namespace moray {

RankProgram one_f_one_b(const PipelineShape& shape, int rank) {
  const int n = shape.micro_batches;
  const int ahead = shape.ranks - 1 - rank;  // forwards before the first backward, less one
  RankProgram program;
  for (int m = 0; m < std::min(ahead, n); ++m) program.ops.push_back({OpKind::F, {0, m}, {}});
  for (int m = 0; m < n; ++m) {
    if (m + ahead < n) program.ops.push_back({OpKind::F, {0, m + ahead}, {}});
    program.ops.push_back({OpKind::BW, {}, {0, m}});
  }
  program.slots = std::min(ahead + 1, n);
  return program;
}

RankProgram zb1p(const PipelineShape& shape, int rank) {
  const int n = shape.micro_batches;
  const int ahead = shape.ranks - 1 - rank;
  RankProgram program;
  for (int m = 0; m < std::min(ahead, n); ++m) program.ops.push_back({OpKind::F, {0, m}, {}});
  for (int m = 0; m < n; ++m) {
    if (m + ahead < n) program.ops.push_back({OpKind::F, {0, m + ahead}, {}});
    program.ops.push_back({OpKind::B, {}, {0, m}});
    if (m >= rank) program.ops.push_back({OpKind::W, {}, {0, m - rank}});
  }
  for (int m = std::max(n - rank, 0); m < n; ++m) program.ops.push_back({OpKind::W, {}, {0, m}});
  program.slots = std::min(shape.ranks, n);
  return program;
}

}  // namespace moray
