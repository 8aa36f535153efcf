#include "pipeline/pipeline.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "pipeline/programs.hpp"

namespace moray {

std::string_view schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::one_f_one_b:
      return "1f1b";
    case ScheduleKind::zb1p:
      return "zb1p";
    case ScheduleKind::dualpipe:
      return "dualpipe";
    case ScheduleKind::dualpipev:
      break;
  }
  return "dualpipev";
}

std::optional<ScheduleKind> schedule_kind(std::string_view name) {
  for (const ScheduleKind kind : kScheduleKinds)
    if (name == schedule_name(kind)) return kind;
  return std::nullopt;
}

std::string to_text(const PipelineOp& op) {
  const auto part = [](const char* name, Unit u) {
    return fmt::format("{}{}:{}", name, u.chunk, u.micro);
  };
  switch (op.kind) {
    case OpKind::F:
      return part("F", op.forward);
    case OpKind::B:
      return part("B", op.backward);
    case OpKind::W:
      return part("W", op.backward);
    case OpKind::BW:
      return part("BW", op.backward);
    case OpKind::FB:
      break;
  }
  return part("F", op.forward) + "+" + part("BW", op.backward);
}

int PipelineShape::rank_of(int stage, int stream) const {
  if (kind == ScheduleKind::dualpipe) return stream == 0 ? stage : ranks - 1 - stage;
  return stage < ranks ? stage : 2 * ranks - 1 - stage;
}

int PipelineShape::chunk_of(int stage, int stream) const {
  if (kind == ScheduleKind::dualpipe) return stream;
  return stage < ranks ? 0 : 1;
}

namespace {

std::string nearest_even(int odd) {
  return odd < 3 ? std::string("2") : fmt::format("{} or {}", odd - 1, odd + 1);
}

}  // namespace

std::string shape_problem(const PipelineShape& shape) {
  const int p = shape.ranks;
  const int n = shape.micro_batches;
  const std::string_view name = schedule_name(shape.kind);
  if (p < 1 || n < 1)
    return fmt::format("{} needs at least one rank and one micro-batch, not {} and {}", name, p, n);
  if (shape.kind != ScheduleKind::dualpipe) return {};
  if (p % 2 != 0)
    return fmt::format("dualpipe needs an even number of pipeline ranks: {}, not {}",
                       nearest_even(p), p);
  if (n % 2 != 0)
    return fmt::format("dualpipe needs an even number of micro-batches: {}, not {}",
                       nearest_even(n), n);
  return {};
}

PipelineSchedule make_schedule(const PipelineShape& shape) {
  const std::string problem = shape_problem(shape);
  if (!problem.empty()) fail(ExitCode::usage, "{}", problem);
  PipelineSchedule schedule;
  schedule.shape = shape;
  for (int rank = 0; rank < shape.ranks; ++rank) {
    RankProgram program = shape.kind == ScheduleKind::one_f_one_b ? one_f_one_b(shape, rank)
                          : shape.kind == ScheduleKind::zb1p      ? zb1p(shape, rank)
                                                                  : dualpipe(shape, rank);
    schedule.ops.push_back(std::move(program.ops));
    schedule.slots.push_back(program.slots);
  }
  return schedule;
}

PipelineSchedule make_forward_schedule(const PipelineShape& shape) {
  if (shape.ranks < 1 || shape.micro_batches < 1 || shape.micro_batches % shape.streams() != 0)
    fail(ExitCode::usage, "{} forwards on {} pipeline ranks: {} streams must divide them",
         shape.micro_batches, shape.ranks, shape.streams());
  PipelineSchedule schedule{
      shape, true, {}, std::vector<int>(static_cast<std::size_t>(shape.ranks), 1)};
  for (int rank = 0; rank < shape.ranks; ++rank) {
    std::vector<PipelineOp> ops;
    for (int chunk = 0; chunk < shape.chunks(); ++chunk)
      for (int m = 0; m < shape.stream_micro_batches(); ++m)
        ops.push_back({OpKind::F, {chunk, m}, {}});
    const auto time = [&](const PipelineOp& op) {
      return op.forward.micro + shape.stage(rank, op.forward.chunk);
    };
    std::stable_sort(ops.begin(), ops.end(),
                     [&](const PipelineOp& a, const PipelineOp& b) { return time(a) < time(b); });
    schedule.ops.push_back(std::move(ops));
  }
  return schedule;
}

StreamShare stream_share(const PipelineShape& shape, std::int64_t data_rank,
                         std::int64_t data_ranks, int stream) {
  return {shape.streams() * data_rank + stream, shape.streams() * data_ranks};
}

namespace {

Transfer transfer(const PipelineShape& shape, Payload payload, int peer_stage, int receiver_stage,
                  int stream, Unit unit) {
  return {payload, shape.rank_of(peer_stage, stream),
          2 * shape.chunk_of(receiver_stage, stream) + (payload == Payload::gradient ? 1 : 0),
          unit};
}

}  // namespace

Transfers receives(const PipelineShape& shape, int rank, const PipelineOp& op) {
  Transfers result;
  if (op.has_forward()) {
    const int stage = shape.stage(rank, op.forward.chunk);
    const int stream = shape.stream(op.forward.chunk);
    if (stage > 0)
      result.push(transfer(shape, Payload::activation, stage - 1, stage, stream, op.forward));
  }
  if (op.has_input_gradient()) {
    const int stage = shape.stage(rank, op.backward.chunk);
    const int stream = shape.stream(op.backward.chunk);
    if (stage + 1 < shape.stages())
      result.push(transfer(shape, Payload::gradient, stage + 1, stage, stream, op.backward));
  }
  return result;
}

Transfers sends(const PipelineShape& shape, int rank, const PipelineOp& op) {
  Transfers result;
  if (op.has_forward()) {
    const int stage = shape.stage(rank, op.forward.chunk);
    const int stream = shape.stream(op.forward.chunk);
    if (stage + 1 < shape.stages())
      result.push(transfer(shape, Payload::activation, stage + 1, stage + 1, stream, op.forward));
  }
  if (op.has_input_gradient()) {
    const int stage = shape.stage(rank, op.backward.chunk);
    const int stream = shape.stream(op.backward.chunk);
    if (stage > 0)
      result.push(transfer(shape, Payload::gradient, stage - 1, stage - 1, stream, op.backward));
  }
  return result;
}

}  // namespace moray
