#include <algorithm>
#include <deque>

#include "pipeline/programs.hpp"

namespace moray {
namespace {

/// Writes a rank's program. `near` is the chunk whose micro-batches reach this rank first, `far` the
/// other one; each chunk takes its micro-batches in order, and weight gradients that were put off
/// are made up for in the order in which they were put off.
class Writer {
 public:
  Writer(int near_chunk, std::vector<PipelineOp>& ops)
      : chunks_{near_chunk, 1 - near_chunk}, ops_(ops) {}

  enum Side { near, far };
  void f(Side side) { ops_.push_back({OpKind::F, next_forward(side), {}}); }
  void bw(Side side) { ops_.push_back({OpKind::BW, {}, next_backward(side)}); }
  void fb(Side forward, Side backward) {
    ops_.push_back({OpKind::FB, next_forward(forward), next_backward(backward)});
  }
  void b(Side side) {
    put_off_.push_back(next_backward(side));
    ops_.push_back({OpKind::B, {}, put_off_.back()});
  }
  void w() {
    ops_.push_back({OpKind::W, {}, put_off_.front()});
    put_off_.pop_front();
  }

 private:
  Unit next_forward(Side side) { return {chunks_[side], forwards_[side]++}; }
  Unit next_backward(Side side) { return {chunks_[side], backwards_[side]++}; }

  int chunks_[2];
  int forwards_[2] = {0, 0};
  int backwards_[2] = {0, 0};
  std::deque<Unit> put_off_;
  std::vector<PipelineOp>& ops_;
};

/// The eight steps of the published program (github.com/deepseek-ai/DualPipe; docs/schedules.md) of a
/// rank `depth` steps from the end, with `half` such ranks up to the turn or the middle, for `n`
/// micro-batches in each chunk, 2 half at least.
void write_program(Writer& op, int half, int depth, int n) {
  const int gap = half - 1 - depth;  // ranks between this one and the middle
  for (int i = 0; i < 2 * gap; ++i) op.f(op.near);
  for (int i = 0; i <= depth; ++i) {
    op.f(op.near);
    op.f(op.far);
  }
  for (int i = 0; i < gap; ++i) {
    op.b(op.far);
    op.w();
    op.f(op.far);
  }
  for (int i = 0; i < n - 2 * half + depth + 1; ++i) {
    if (i == 0 && gap == 0) {  // apart, so that the gradient leaves the middle earlier
      op.f(op.near);
      op.bw(op.far);
    } else {
      op.fb(op.near, op.far);
    }
    op.fb(op.far, op.near);
  }
  for (int i = 0; i < gap; ++i) {
    op.bw(op.far);
    op.fb(op.far, op.near);
  }
  // The second half of these 2 (depth + 1) backwards puts its weight gradients off.
  for (int i = 0; i < 2 * (depth + 1); ++i) {
    const Writer::Side side = i % 2 == 0 ? op.far : op.near;
    i <= depth ? op.bw(side) : op.b(side);
  }
  for (int i = 0; i < gap; ++i) {
    op.w();
    op.b(op.near);
  }
  for (int i = 0; i <= depth; ++i) op.w();
}

/// Takes the first `count` micro-batches of both chunks out of a program. What is left keeps its order,
/// so no op waits for one that it did not wait for before, nothing is alive that was not, and weight
/// gradients stay in order: the proof of the whole holds for the rest.
void leave_out_first(int count, std::vector<PipelineOp>& ops) {
  std::vector<PipelineOp> rest;
  for (PipelineOp op : ops) {
    const bool forward = op.has_forward() && op.forward.micro >= count;
    const bool backward = op.kind != OpKind::F && op.backward.micro >= count;
    if (!forward && !backward) continue;
    if (op.kind == OpKind::FB && !backward) op = {OpKind::F, op.forward, {}};
    if (op.kind == OpKind::FB && !forward) op = {OpKind::BW, {}, op.backward};
    if (forward) op.forward.micro -= count;
    if (backward) op.backward.micro -= count;
    rest.push_back(op);
  }
  ops = std::move(rest);
}

int most_alive(const std::vector<PipelineOp>& ops) {
  int alive = 0, most = 0;
  for (const PipelineOp& op : ops) {
    if (op.has_forward()) most = std::max(most, ++alive);
    if (op.has_weight_gradient()) --alive;
  }
  return most;
}

}  // namespace

RankProgram dualpipe(const PipelineShape& shape, int rank) {
  const bool v = shape.kind == ScheduleKind::dualpipev;
  const int half = v ? shape.ranks : shape.ranks / 2;
  const bool upper = rank >= half;  // of DualPipe: the second direction is the near one
  RankProgram program;
  Writer writer(upper ? 1 : 0, program.ops);
  const int n = shape.stream_micro_batches();
  const int whole = std::max(n, 2 * half);
  write_program(writer, half, upper ? shape.ranks - 1 - rank : rank, whole);
  leave_out_first(whole - n, program.ops);
  program.slots = n < whole ? most_alive(program.ops) : 2 * half + 1;
  return program;
}

}  // namespace moray
