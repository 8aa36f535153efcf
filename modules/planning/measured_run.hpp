#pragma once

#include <string>
#include <vector>

#include "pipeline/measure.hpp"
#include "planning/timed_stages.hpp"
#include "training/training_config.hpp"

namespace moray {

/// The newest step that a run recorded, as durations of its stages. Milliseconds.
struct MeasuredRun {
  std::int64_t step = 0;
  PipelineShape shape;
  TimedStages stages;         ///< medians of each stage (pipeline/measure.hpp)
  std::vector<StageOps> ops;  ///< of each stage: what of its durations was measured on its own
  double length = 0;          ///< until the last op of all ended
  double waiting = 0;         ///< of it, mean of all ranks: outside of ops
  /// Keys whose values are in these times and are others in the deck: "parallel.expert 1, not 2".
  std::vector<std::string> unlike;
};

/// Reads what the run in a folder recorded; its layers and its micro-batch are those of the deck of its
/// newest start. Throws Error(io) for a folder without a run or without a recorded step, and for files
/// that are not as they should be; Error(usage) when what ran is no measure of `deck`: another model,
/// other micro-batches, another precision.
MeasuredRun read_measured_run(const std::string& run, const Deck& deck);

}  // namespace moray
