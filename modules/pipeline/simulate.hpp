#pragma once

#include <optional>
#include <vector>

#include "pipeline/pipeline.hpp"

namespace moray {

/// Time of one micro-batch in one stage, in any unit.
struct StageDurations {
  double forward = 0;          ///< F
  double input_gradient = 0;   ///< B
  double weight_gradient = 0;  ///< W
  double overlapped = 0;       ///< F&B: a forward with both gradients of another micro-batch
};

struct PipelineDurations {
  std::vector<StageDurations> stages;  ///< one for all, or one for each
  double communication = 0;            ///< from the end of an op to what its message lets start
};

/// Durations of an op on a rank. A pair of unequal stages saves the smaller of what overlapping saves
/// in each: F_a + B_b + W_b - min over {a, b} of (F + B + W - F&B). It takes no less than the longer of
/// its two, whatever was measured of others.
double op_duration(const PipelineShape& shape, const PipelineDurations& durations, int rank,
                   const PipelineOp& op);

struct TimelineEvent {
  PipelineOp op;
  double start = 0;
  double end = 0;
};

/// When each op of each rank ran: planned, or measured by a run.
struct PipelineTimeline {
  PipelineShape shape;
  std::vector<std::vector<TimelineEvent>> ranks;

  double end() const;                                         ///< of the last op of all
  double busy(int rank) const;                                ///< sum of its ops
  double idle(int rank) const { return end() - busy(rank); }  ///< its bubble
  double longest_idle() const;
};

/// Runs a schedule that was proved (check.hpp): each op starts when its rank is free and its messages
/// are there. Throws Error(usage) when `durations.stages` has the wrong length.
PipelineTimeline simulate(const PipelineSchedule& schedule, const PipelineDurations& durations);

/// The published bubble of equal stages, with P' stages, B' = B + W:
///   1F1B (P'-1)(F + B'), ZB1P (P'-1)(F + B' - 2W), DualPipe and DualPipeV (P'/2-1)(F&B + B' - 3W)
/// (DeepSeek-V3 report, table 2; github.com/deepseek-ai/DualPipe, README). Nothing for fewer micro-batches
/// than fill the pipeline: P of ZB1P, 2 P of DualPipe and DualPipeV.
std::optional<double> published_bubble(const PipelineShape& shape, const StageDurations& stage);

}  // namespace moray
