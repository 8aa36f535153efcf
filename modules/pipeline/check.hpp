#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/pipeline.hpp"

namespace moray {

/// What is wrong with a schedule: the first fault that was found.
struct ScheduleFault {
  int rank = 0;
  int position = -1;  ///< in the rank's list; -1: an op that is not there
  std::string op;     ///< "F0:3"
  std::string reason;
  /// "rank 1, position 4, F0:3: reason".
  std::string message() const;
};

/// What a schedule needs on one rank, whatever the durations are.
struct RankNeeds {
  int activations = 0;      ///< most micro-batches between the start of F and the end of W
  int pending_weights = 0;  ///< most weight gradients put off at once
  /// Per tag: most messages sent of which nothing says that they were received. So many send
  /// buffers are enough, and waiting for the oldest before it is used again can not hang.
  std::array<int, kTransferTags> unreceived{};
};

/// How the gradient lanes of a stream divide its micro-batches (docs/numerics.md section 3): the i-th
/// sequence of the stream goes into lane i mod local_lanes. Experts see the sequences of all ranks of
/// their group, `group` b of a micro-batch, and the i-th of them goes into expert lane
/// i mod local_expert_lanes. The default, one lane, is the strictest.
struct LaneOrder {
  std::int64_t sequences = 1;  ///< b of a micro-batch
  std::int64_t local_lanes = 1;
  std::int64_t local_expert_lanes = 1;
  std::int64_t group = 1;  ///< ranks that share the experts
};

struct ScheduleProof {
  std::optional<ScheduleFault> fault;
  std::vector<RankNeeds> needs;  ///< of each rank; empty when there is a fault
};

/// Proves for every timing that
///   every unit of every rank has one forward, one input gradient and one weight gradient, in this
///   order, so that no weight gradient is left at the end;
///   messages of each (sender, receiver, tag) are received in the order in which they are sent;
///   no rank waits for ever: receives block, sends do not;
///   the weight gradients of each chunk come in increasing order of sequences in every lane, and so do
///   its input gradients, with which those of norm gains, embedding and head are formed;
///   no rank has more activations alive than its slots.
/// Of a schedule of forwards the same, without gradients.
ScheduleProof prove(const PipelineSchedule& schedule, const LaneOrder& lanes = {});

/// The same, for who only wants to go on with a sound schedule: throws Error(usage).
std::vector<RankNeeds> require_sound(const PipelineSchedule& schedule, const LaneOrder& lanes = {});

/// The fewest buffers of each (sender, receiver, tag), counted at either end, with which no rank of a
/// sound schedule waits for ever although an op starts only when a buffer for what it sends is free; a
/// buffer is free again when the receiver's op is done. Ranks may wait longer than with
/// RankNeeds::unreceived.
int fewest_buffers(const PipelineSchedule& schedule);

/// Experts exchange tokens within every F, B and W, so the ranks of an expert group must have the
/// same op at every position: `lists` are theirs. The fault's rank is an index into them. Schedules that
/// make_schedule() and make_forward_schedule() give cannot fail: an expert group is one pipeline rank
/// of several data ranks, each of which makes the same schedule of the same deck and step. One that
/// comes from elsewhere is held to this where it comes in, by Trainer::use_schedule().
std::optional<ScheduleFault> prove_group(const std::vector<std::vector<PipelineOp>>& lists);

}  // namespace moray
