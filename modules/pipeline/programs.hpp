#pragma once

#include <vector>

#include "pipeline/pipeline.hpp"

namespace moray {

/// The ops of one rank and the activation slots that it promises to keep to.
struct RankProgram {
  std::vector<PipelineOp> ops;
  int slots = 0;
};

/// P-1-r forwards, then one forward and one backward in turn, then the backwards that are left: at
/// most P-r micro-batches are alive.
RankProgram one_f_one_b(const PipelineShape& shape, int rank);

/// The order of 1F1B with B and W apart. Rank r puts each W off by r micro-batches: it has started r
/// fewer than rank 0, so that every rank holds at most P, and the last ranks end with W where 1F1B
/// waits (ZB-H1 in arXiv 2401.10241, section 2).
RankProgram zb1p(const PipelineShape& shape, int rank);

/// DualPipe, and DualPipeV, which is the same program on the lower half of the ranks. It exists for 2 P
/// micro-batches and more; with fewer, it is the program of 2 P without the first ones.
RankProgram dualpipe(const PipelineShape& shape, int rank);

}  // namespace moray
