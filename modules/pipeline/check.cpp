#include "pipeline/check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "pipeline/execution.hpp"

namespace moray {
namespace {

/// Positions of a unit's three parts in the list of its rank; -1: not seen.
struct Parts {
  int forward = -1;
  int input = -1;
  int weight = -1;
};

class Prover {
 public:
  Prover(const PipelineSchedule& schedule, const LaneOrder& lanes)
      : schedule_(schedule), shape_(schedule.shape), lanes_(lanes) {}

  ScheduleProof run() {
    ScheduleProof proof;
    if (check_lists() && check_messages() && check_waits() && check_lanes() && check_memory()) {
      proof.needs = std::move(needs_);
    } else {
      proof.fault = std::move(fault_);
    }
    return proof;
  }

 private:
  bool refuse(int rank, int position, std::string reason) {
    const PipelineOp& op = list(rank)[static_cast<std::size_t>(position)];
    fault_ = ScheduleFault{rank, position, to_text(op), std::move(reason)};
    return false;
  }
  bool missing(int rank, const PipelineOp& op, std::string reason) {
    fault_ = ScheduleFault{rank, -1, to_text(op), std::move(reason)};
    return false;
  }
  const std::vector<PipelineOp>& list(int rank) const {
    return schedule_.ops[static_cast<std::size_t>(rank)];
  }
  Parts& parts(int rank, Unit u) {
    return parts_[static_cast<std::size_t>(
        (rank * shape_.chunks() + u.chunk) * shape_.stream_micro_batches() + u.micro)];
  }
  bool exists(Unit u) const {
    return u.chunk >= 0 && u.chunk < shape_.chunks() && u.micro >= 0 &&
           u.micro < shape_.stream_micro_batches();
  }

  bool check_lists();
  bool enter(int rank, int position);
  bool check_unit(int rank, Unit u);
  bool check_messages();
  bool check_waits();
  bool check_lanes();
  struct Lanes {
    std::int64_t sequences;  ///< of a micro-batch
    std::int64_t count;
    bool (PipelineOp::*adds)() const;
    const char* what;
  };
  bool check_lane(int rank, int chunk, const Lanes& lanes);
  bool check_memory();

  const PipelineSchedule& schedule_;
  const PipelineShape& shape_;
  const LaneOrder& lanes_;
  std::vector<Parts> parts_;
  std::vector<RankNeeds> needs_;
  ScheduleFault fault_;
};

// Every unit once, its parts in order.
bool Prover::check_lists() {
  const std::string problem = schedule_.forward_only ? std::string() : shape_problem(shape_);
  if (!problem.empty() || static_cast<int>(schedule_.ops.size()) != shape_.ranks ||
      static_cast<int>(schedule_.slots.size()) != shape_.ranks) {
    fault_ = {0, -1, "", problem.empty() ? "not one list of ops and slots a rank" : problem};
    return false;
  }
  parts_.assign(
      static_cast<std::size_t>(shape_.ranks * shape_.chunks() * shape_.stream_micro_batches()), {});
  for (int rank = 0; rank < shape_.ranks; ++rank) {
    for (int i = 0; i < static_cast<int>(list(rank).size()); ++i)
      if (!enter(rank, i)) return false;
    for (int chunk = 0; chunk < shape_.chunks(); ++chunk)
      for (int m = 0; m < shape_.stream_micro_batches(); ++m)
        if (!check_unit(rank, {chunk, m})) return false;
  }
  return true;
}

bool Prover::enter(int rank, int position) {
  const PipelineOp& op = list(rank)[static_cast<std::size_t>(position)];
  const auto once = [&](int& part, const char* what) {
    if (part >= 0)
      return refuse(
          rank, position,
          fmt::format("is the second {} of this unit; position {} has the first", what, part));
    part = position;
    return true;
  };
  if ((op.has_forward() && !exists(op.forward)) || (op.kind != OpKind::F && !exists(op.backward)))
    return refuse(rank, position, "has a chunk or micro-batch that the schedule does not have");
  if (schedule_.forward_only && op.kind != OpKind::F)
    return refuse(rank, position, "is no forward, and the schedule has forwards only");
  if (op.kind == OpKind::FB && op.forward == op.backward)
    return refuse(rank, position, "overlaps a forward with its own backward");
  if (op.has_forward() && !once(parts(rank, op.forward).forward, "forward")) return false;
  if (op.has_input_gradient() && !once(parts(rank, op.backward).input, "input gradient"))
    return false;
  return !op.has_weight_gradient() || once(parts(rank, op.backward).weight, "weight gradient");
}

bool Prover::check_unit(int rank, Unit u) {
  const Parts& own = parts(rank, u);
  if (own.forward < 0) return missing(rank, {OpKind::F, u, {}}, "is missing");
  if (schedule_.forward_only) return true;
  if (own.input < 0) return missing(rank, {OpKind::B, {}, u}, "is missing");
  if (own.weight < 0) {
    return missing(rank, {OpKind::W, {}, u},
                   fmt::format("is missing: the weight gradient that position {} puts off is left "
                               "over",
                               own.input));
  }
  if (own.input < own.forward)
    return refuse(rank, own.input, fmt::format("comes before its forward, at {}", own.forward));
  if (own.weight < own.input)
    return refuse(rank, own.weight,
                  fmt::format("comes before its input gradient, at {}", own.input));
  return true;
}

// The micro-batches of a channel in the order of its ends. Ends of a local hand-over need no order.
bool Prover::check_messages() {
  const std::vector<ChannelOrder> channels = channel_orders(schedule_);
  for (const ChannelOrder& c : channels) {
    for (std::size_t i = 0; i < c.received.size(); ++i) {
      if (c.received[i].micro == c.sent[i].micro) continue;
      return refuse(
          c.receiver, c.received[i].position,
          fmt::format("receives micro-batch {} as message {} from rank {}, which sends "
                      "micro-batch {} as that, at its position {}",
                      c.received[i].micro, i, c.sender, c.sent[i].micro, c.sent[i].position));
    }
  }
  return true;
}

bool Prover::check_waits() {
  Execution execution(schedule_);
  if (execution.run()) {
    needs_.resize(static_cast<std::size_t>(shape_.ranks));
    execution.count_unreceived(needs_);
    return true;
  }
  const std::vector<Wait> ring = execution.find_ring();
  std::string reason = "waits for ever:";
  for (const Wait& w : ring) {
    reason += fmt::format("{} rank {} at position {} waits for {} of rank {} at position {}",
                          &w == ring.data() ? "" : ";", w.rank, w.position,
                          to_text(list(w.peer)[static_cast<std::size_t>(w.peer_position)]), w.peer,
                          w.peer_position);
  }
  return refuse(ring.front().rank, ring.front().position, reason);
}

bool Prover::check_lanes() {
  const std::int64_t b = lanes_.sequences;
  const Lanes all[] = {{b, lanes_.local_lanes, &PipelineOp::has_weight_gradient, "lane"},
                       {b * lanes_.group, lanes_.local_expert_lanes,
                        &PipelineOp::has_weight_gradient, "expert lane"},
                       {b, lanes_.local_lanes, &PipelineOp::has_input_gradient,
                        "norm gains, embedding and head, lane"}};
  for (int rank = 0; rank < shape_.ranks; ++rank) {
    for (int chunk = 0; chunk < shape_.chunks(); ++chunk) {
      for (const Lanes& lanes : all)
        if (!check_lane(rank, chunk, lanes)) return false;
    }
  }
  return true;
}

bool Prover::check_lane(int rank, int chunk, const Lanes& lanes) {
  std::vector<std::int64_t> last(static_cast<std::size_t>(lanes.count), -1);
  for (int i = 0; i < static_cast<int>(list(rank).size()); ++i) {
    const PipelineOp& op = list(rank)[static_cast<std::size_t>(i)];
    if (!(op.*lanes.adds)() || op.backward.chunk != chunk) continue;
    const std::int64_t first = op.backward.micro * lanes.sequences;
    // A lane takes every count-th sequence, so the first `count` show the order of all.
    for (std::int64_t s = first; s < first + std::min(lanes.sequences, lanes.count); ++s) {
      std::int64_t& before = last[static_cast<std::size_t>(s % lanes.count)];
      if (before > s)
        return refuse(rank, i,
                      fmt::format("adds sequence {} of its stream to {} {} after sequence {}", s,
                                  lanes.what, s % lanes.count, before));
      before = s;
    }
  }
  return true;
}

bool Prover::check_memory() {
  for (int rank = 0; rank < shape_.ranks; ++rank) {
    RankNeeds& needs = needs_[static_cast<std::size_t>(rank)];
    const int slots = schedule_.slots[static_cast<std::size_t>(rank)];
    int alive = 0;
    int pending = 0;
    for (int i = 0; i < static_cast<int>(list(rank).size()); ++i) {
      const PipelineOp& op = list(rank)[static_cast<std::size_t>(i)];
      if (op.has_forward() && ++alive > slots)
        return refuse(rank, i,
                      fmt::format("needs activation slot {}, and the rank has {}", alive, slots));
      needs.activations = std::max(needs.activations, alive);
      if (op.kind == OpKind::B) needs.pending_weights = std::max(needs.pending_weights, ++pending);
      if (op.kind == OpKind::W) --pending;
      if (op.has_weight_gradient() || schedule_.forward_only) --alive;
    }
  }
  return true;
}

}  // namespace

std::string ScheduleFault::message() const {
  if (position < 0) return fmt::format("rank {}, {}: {}", rank, op, reason);
  return fmt::format("rank {}, position {}, {}: {}", rank, position, op, reason);
}

ScheduleProof prove(const PipelineSchedule& schedule, const LaneOrder& lanes) {
  return Prover(schedule, lanes).run();
}

std::vector<RankNeeds> require_sound(const PipelineSchedule& schedule, const LaneOrder& lanes) {
  ScheduleProof proof = prove(schedule, lanes);
  if (proof.fault) {
    fail(ExitCode::usage, "schedule {} of {} ranks and {} micro-batches: {}",
         schedule_name(schedule.shape.kind), schedule.shape.ranks, schedule.shape.micro_batches,
         proof.fault->message());
  }
  return std::move(proof.needs);
}

}  // namespace moray
