#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

// Pipeline schedules as data (docs/schedules.md). A schedule is one list of ops per pipeline rank; it
// knows nothing of tensors, MPI or time. check.hpp proves one, simulate.hpp gives it durations, the
// runtime executes any that was proved.

enum class ScheduleKind {
  one_f_one_b,  ///< one forward, one backward (Narayanan et al., arXiv 2104.04473)
  zb1p,         ///< the same with the weight gradients put off into the bubble: ZB-H1 of Qi et al.,
                ///< arXiv 2401.10241
  dualpipe,     ///< micro-batches enter at both ends (DeepSeek-V3 report, arXiv 2412.19437, 3.2.1)
  dualpipev,    ///< its half without a second copy of the weights: stages in a V
};
inline constexpr std::array kScheduleKinds = {ScheduleKind::one_f_one_b, ScheduleKind::zb1p,
                                              ScheduleKind::dualpipe, ScheduleKind::dualpipev};

/// "1f1b", "zb1p", "dualpipe", "dualpipev".
std::string_view schedule_name(ScheduleKind kind);
/// The kind of a name; nothing for an unknown one.
std::optional<ScheduleKind> schedule_kind(std::string_view name);

/// One micro-batch in one chunk. A rank holds one chunk, or two under DualPipe and DualPipeV.
struct Unit {
  int chunk = 0;
  int micro = 0;  ///< index within the chunk's stream, 0 ... shape.stream_micro_batches() - 1
  friend bool operator==(const Unit&, const Unit&) = default;
};

enum class OpKind {
  F,   ///< forward
  B,   ///< gradient of the input; its weight gradient follows in a W
  W,   ///< gradient of the weights
  BW,  ///< both gradients at once
  FB,  ///< the forward of one unit and both gradients of another, overlapped
};

struct PipelineOp {
  OpKind kind = OpKind::F;
  Unit forward;   ///< of F and FB
  Unit backward;  ///< of B, W, BW and FB

  bool has_forward() const { return kind == OpKind::F || kind == OpKind::FB; }
  bool has_input_gradient() const {
    return kind == OpKind::B || kind == OpKind::BW || kind == OpKind::FB;
  }
  bool has_weight_gradient() const {
    return kind == OpKind::W || kind == OpKind::BW || kind == OpKind::FB;
  }
  friend bool operator==(const PipelineOp&, const PipelineOp&) = default;
};

/// "F0:3" (forward, chunk 0, micro-batch 3), "BW1:2", "F0:3+BW1:2".
std::string to_text(const PipelineOp& op);

/// Where stages and micro-batches live. A *stream* is the micro-batches that enter at one place:
/// one under DualPipe enters at rank 0, a second one at the last rank; elsewhere there is one.
struct PipelineShape {
  ScheduleKind kind = ScheduleKind::one_f_one_b;
  int ranks = 1;          ///< P
  int micro_batches = 1;  ///< N of a data rank, of all streams together

  int chunks() const { return two_chunks() ? 2 : 1; }
  int streams() const { return kind == ScheduleKind::dualpipe ? 2 : 1; }
  /// Parts into which the layers are cut: P, or 2 P under DualPipeV.
  int stages() const { return kind == ScheduleKind::dualpipev ? 2 * ranks : ranks; }
  int stream_micro_batches() const { return micro_batches / streams(); }

  /// The stream that passes a chunk: the chunk's number under DualPipe, else 0.
  int stream(int chunk) const { return kind == ScheduleKind::dualpipe ? chunk : 0; }
  /// Rank r holds stage r as chunk 0, and as chunk 1 stage P-1-r (DualPipe) or 2P-1-r (DualPipeV).
  int stage(int rank, int chunk) const { return chunk == 0 ? rank : stages() - 1 - rank; }
  /// The rank that computes a stage for a stream, and its chunk there.
  int rank_of(int stage, int stream) const;
  int chunk_of(int stage, int stream) const;

 private:
  bool two_chunks() const {
    return kind == ScheduleKind::dualpipe || kind == ScheduleKind::dualpipev;
  }
};

/// Why there is no such schedule, with the nearest sizes that have one; empty when there is.
/// Any P, N >= 1, under DualPipe even ones.
std::string shape_problem(const PipelineShape& shape);

struct PipelineSchedule {
  PipelineShape shape;
  bool forward_only = false;                 ///< F alone, and nothing kept: for validation
  std::vector<std::vector<PipelineOp>> ops;  ///< of each rank, in order
  /// Activation slots that each rank has: micro-batches of a chunk from the start of F to the end of
  /// their weight gradient.
  std::vector<int> slots;
};

/// The schedule of a shape. Throws Error(usage) with shape_problem().
PipelineSchedule make_schedule(const PipelineShape& shape);

/// Forwards alone over the same stages: any number of micro-batches that the streams divide. A rank
/// takes its units in order of micro-batch + stage, which grows along every path of a micro-batch, so
/// that no rank waits for ever; one activation slot each.
PipelineSchedule make_forward_schedule(const PipelineShape& shape);

/// The micro-batches of one stream on a data rank, as docs/numerics.md section 3 deals them: J of R
/// takes the sequences g with g mod R = J, and micro-batch m of the stream is its m-th share of b
/// consecutive ones. Under DualPipe each direction is a data rank of its own: J = 2 j + direction.
struct StreamShare {
  std::int64_t rank = 0;   ///< J
  std::int64_t ranks = 1;  ///< R
};
StreamShare stream_share(const PipelineShape& shape, std::int64_t data_rank,
                         std::int64_t data_ranks, int stream);

enum class Payload { activation, gradient };

/// A message before or after an op.
struct Transfer {
  Payload payload = Payload::activation;
  int peer = 0;  ///< pipeline rank; the op's own rank at the turn of DualPipeV: handed over locally
  int tag = 0;   ///< 2 x the receiver's chunk + payload; messages of a (peer, tag) arrive in order
  Unit unit;     ///< on the op's rank: what needs it, or what made it
};
inline constexpr int kTransferTags = 4;

/// At most two messages.
class Transfers {
 public:
  void push(const Transfer& transfer) { items_[static_cast<std::size_t>(count_++)] = transfer; }
  const Transfer* begin() const { return items_.data(); }
  const Transfer* end() const { return items_.data() + count_; }
  int size() const { return count_; }

 private:
  std::array<Transfer, 2> items_{};
  int count_ = 0;
};

/// What an op on a rank waits for, and what it sends when it is done.
Transfers receives(const PipelineShape& shape, int rank, const PipelineOp& op);
Transfers sends(const PipelineShape& shape, int rank, const PipelineOp& op);

}  // namespace moray
