#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/pipeline.hpp"

namespace moray {

/// What a schedule does, independent of its checker: values are 64-bit tokens, a stage is a hash of
/// its number and what it reads, ranks send tokens through queues that know neither micro-batch nor
/// chunk but only order, and a gradient is a hash chain over what was added to it: that of matrices with
/// the weight gradients, that of norm gains, embedding and head with the input gradients. A schedule is right
/// when it ends with every gradient, input gradient and loss of a serial run, all queues and stores
/// empty, and never more activations than its slots.
struct Interpretation {
  bool right = false;
  std::string why;             ///< what went wrong first
  std::vector<int> most_held;  ///< activations of each rank
};
/// With `buffers` above 0 a queue between ranks holds at most so many tokens, and who would put in one
/// more waits.
Interpretation interpret(const PipelineSchedule& schedule, int buffers = 0);

}  // namespace moray
