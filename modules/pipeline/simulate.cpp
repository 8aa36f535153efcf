#include "pipeline/simulate.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {
namespace {

const StageDurations& of_stage(const PipelineDurations& durations, int stage) {
  return durations.stages.size() == 1 ? durations.stages.front()
                                      : durations.stages[static_cast<std::size_t>(stage)];
}

double saved(const StageDurations& d) {
  return d.forward + d.input_gradient + d.weight_gradient - d.overlapped;
}

/// When each message was sent: [rank][2 * sender's chunk + payload][micro]; below 0: not yet.
class Messages {
 public:
  explicit Messages(const PipelineShape& shape)
      : shape_(shape),
        micros_(shape.stream_micro_batches()),
        times_(static_cast<std::size_t>(shape.ranks * kTransferTags * micros_), -1) {}

  /// By the op's rank and the unit that made it.
  double& sent(int rank, Unit unit, Payload payload) {
    const int kind = 2 * unit.chunk + (payload == Payload::gradient ? 1 : 0);
    return times_[static_cast<std::size_t>((rank * kTransferTags + kind) * micros_ + unit.micro)];
  }
  /// The same by its receiver.
  double& received(int rank, const Transfer& t) {
    const int stage = shape_.stage(rank, t.unit.chunk) + (t.payload == Payload::gradient ? 1 : -1);
    const int chunk = shape_.chunk_of(stage, shape_.stream(t.unit.chunk));
    return sent(t.peer, {chunk, t.unit.micro}, t.payload);
  }

 private:
  const PipelineShape& shape_;
  int micros_;
  std::vector<double> times_;
};

}  // namespace

double op_duration(const PipelineShape& shape, const PipelineDurations& durations, int rank,
                   const PipelineOp& op) {
  const auto at = [&](Unit u) -> const StageDurations& {
    return of_stage(durations, shape.stage(rank, u.chunk));
  };
  switch (op.kind) {
    case OpKind::F:
      return at(op.forward).forward;
    case OpKind::B:
      return at(op.backward).input_gradient;
    case OpKind::W:
      return at(op.backward).weight_gradient;
    case OpKind::BW:
      return at(op.backward).input_gradient + at(op.backward).weight_gradient;
    case OpKind::FB:
      break;
  }
  const StageDurations& f = at(op.forward);
  const StageDurations& b = at(op.backward);
  const double backward = b.input_gradient + b.weight_gradient;
  return std::max(f.forward + backward - std::min(saved(f), saved(b)),
                  std::max(f.forward, backward));
}

PipelineTimeline simulate(const PipelineSchedule& schedule, const PipelineDurations& durations) {
  const PipelineShape& shape = schedule.shape;
  if (durations.stages.size() != 1 && static_cast<int>(durations.stages.size()) != shape.stages()) {
    fail(ExitCode::usage, "{} durations for {} stages", durations.stages.size(), shape.stages());
  }
  PipelineTimeline timeline{shape, std::vector<std::vector<TimelineEvent>>(schedule.ops.size())};
  Messages messages(shape);
  const auto advance = [&](int rank) {
    const auto& list = schedule.ops[static_cast<std::size_t>(rank)];
    auto& events = timeline.ranks[static_cast<std::size_t>(rank)];
    if (events.size() == list.size()) return false;
    const PipelineOp& op = list[events.size()];
    double start = events.empty() ? 0 : events.back().end;
    for (const Transfer& t : receives(shape, rank, op)) {
      const double sent = messages.received(rank, t);
      if (sent < 0) return false;
      start = std::max(start, sent + (t.peer == rank ? 0 : durations.communication));
    }
    const double end = start + op_duration(shape, durations, rank, op);
    for (const Transfer& t : sends(shape, rank, op)) messages.sent(rank, t.unit, t.payload) = end;
    events.push_back({op, start, end});
    return true;
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < shape.ranks; ++rank)
      while (advance(rank)) moved = true;
  }
  for (std::size_t rank = 0; rank < schedule.ops.size(); ++rank)
    MORAY_REQUIRE(timeline.ranks[rank].size() == schedule.ops[rank].size());
  return timeline;
}

double PipelineTimeline::end() const {
  double last = 0;
  for (const auto& events : ranks)
    if (!events.empty()) last = std::max(last, events.back().end);
  return last;
}

double PipelineTimeline::busy(int rank) const {
  double sum = 0;
  for (const TimelineEvent& e : ranks[static_cast<std::size_t>(rank)]) sum += e.end - e.start;
  return sum;
}

double PipelineTimeline::longest_idle() const {
  double longest = 0;
  for (int rank = 0; rank < static_cast<int>(ranks.size()); ++rank)
    longest = std::max(longest, idle(rank));
  return longest;
}

std::optional<double> published_bubble(const PipelineShape& shape, const StageDurations& s) {
  const double full = s.input_gradient + s.weight_gradient;
  const int least = shape.kind == ScheduleKind::one_f_one_b ? 1
                    : shape.kind == ScheduleKind::zb1p      ? shape.ranks
                                                            : 2 * shape.ranks;
  if (shape.micro_batches < least) return std::nullopt;
  switch (shape.kind) {
    case ScheduleKind::one_f_one_b:
      return (shape.stages() - 1) * (s.forward + full);
    case ScheduleKind::zb1p:
      return (shape.stages() - 1) * (s.forward + full - 2 * s.weight_gradient);
    default:
      return (shape.stages() / 2 - 1) * (s.overlapped + full - 3 * s.weight_gradient);
  }
}

}  // namespace moray
