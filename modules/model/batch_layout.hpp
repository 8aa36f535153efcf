#pragma once

#include <cstdint>
#include <vector>

namespace moray {

/// Consecutive sequences of a micro-batch whose gradients go into the same lane.
struct LaneSegment {
  std::int64_t first = 0;
  std::int64_t sequences = 0;
  std::int64_t lane = 0;
};

/// How the sequences of a step are dealt over data ranks and gradient lanes
/// (docs/numerics.md section 3). Everything is a power of two but N.
struct Deal {
  std::int64_t lanes = 1;         ///< L, of dense tensors
  std::int64_t expert_lanes = 1;  ///< X, of each expert
  std::int64_t data_ranks = 1;    ///< R
  std::int64_t rank = 0;          ///< J
  /// J of the rank with each share of the experts; empty: this rank has all.
  std::vector<std::int64_t> group = {};

  /// Lanes that this rank accumulates itself.
  std::int64_t local_lanes() const { return lanes / data_ranks; }
  std::int64_t group_size() const {
    return group.empty() ? 1 : static_cast<std::int64_t>(group.size());
  }
  /// Ranks with the same experts, R / group size.
  std::int64_t replicas() const { return data_ranks / group_size(); }
  std::int64_t local_expert_lanes() const { return expert_lanes / replicas(); }
};

/// The sequences of one micro-batch on this rank: b consecutive ones of the g with g mod R = J,
/// stored in order of (local lane, g), so that each lane's rows are one piece of its chain. Its
/// experts see the b sequences of every rank of the group.
class BatchLayout {
 public:
  /// Room for micro-batches of up to `sequences`, in an expert group of `members`.
  explicit BatchLayout(std::int64_t sequences, std::int64_t members = 1);

  /// The `index`-th micro-batch of `sequences` in a step. Allocates nothing.
  void assign(const Deal& deal, std::int64_t index, std::int64_t sequences);

  std::int64_t sequences() const { return static_cast<std::int64_t>(global_.size()); }
  /// g within the step, of each stored sequence.
  const std::vector<std::int64_t>& global() const { return global_; }
  const std::vector<LaneSegment>& segments() const { return segments_; }
  /// g of the sequences of the group: sequence s of the rank with share m is number m b + s.
  const std::vector<std::int64_t>& group_global() const { return group_global_; }
  /// Sequences of the group in order of (local expert lane, g), and the segments of that order.
  const std::vector<std::int32_t>& expert_order() const { return expert_order_; }
  const std::vector<LaneSegment>& expert_segments() const { return expert_segments_; }

 private:
  std::vector<std::int64_t> global_;
  std::vector<LaneSegment> segments_;
  std::vector<std::int64_t> group_global_;
  std::vector<std::int32_t> expert_order_;
  std::vector<LaneSegment> expert_segments_;
};

/// The rows of a tensor: every sequence of the micro-batch has `rows` consecutive ones (S in the
/// trunk, S - k in MTP module k).
struct RowLayout {
  const BatchLayout* batch = nullptr;
  std::int64_t rows = 0;
  std::int64_t total() const { return batch->sequences() * rows; }
};

}  // namespace moray
