#include "pipeline/runtime.hpp"

#include <algorithm>
#include <optional>

#include "core/error.hpp"
#include "core/recorder.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace moray {
namespace {

int take(std::vector<int>& free) {
  MORAY_REQUIRE(!free.empty());
  const int first = free.back();
  free.pop_back();
  return first;
}

void refill(std::vector<int>& free, int count) {
  free.clear();
  for (int i = count; i-- > 0;) free.push_back(i);
}

}  // namespace

void RuntimeNeeds::include(const RuntimeNeeds& other) {
  const auto both = [](auto& mine, const auto& theirs) {
    for (std::size_t tag = 0; tag < mine.size(); ++tag)
      mine[tag] = std::max(mine[tag], theirs[tag]);
  };
  slots = std::max(slots, other.slots);
  deferred = std::max(deferred, other.deferred);
  both(buffers.send, other.buffers.send);
  both(buffers.handed_over, other.buffers.handed_over);
  both(buffers.receive, other.buffers.receive);
}

std::vector<RuntimeNeeds> runtime_needs(const std::vector<PipelineSchedule>& schedules,
                                        const LaneOrder& lanes) {
  std::vector<RuntimeNeeds> all(schedules.front().ops.size());
  for (const PipelineSchedule& schedule : schedules) {
    const std::vector<RankNeeds> needs = require_sound(schedule, lanes);
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      all[rank].include({needs[rank].activations, needs[rank].pending_weights,
                         link_buffers(schedule, static_cast<int>(rank), needs[rank])});
    }
  }
  return all;
}

PipelineRuntime::PipelineRuntime(Model<float>& model, const Communicator& ranks, Timers& timers)
    : model_(model), link_(ranks), timers_(timers) {
  part_ = {timers.part("step/forward"), timers.part("step/backward"),
           timers.part("step/overlapped"), timers.part("step/waiting")};
}

void PipelineRuntime::allocate(Arena& arena, const RuntimeNeeds& needs) {
  const ModelUse& use = model_.use();
  link_.allocate(arena, needs.buffers, use.sequences * use.rows, model_.config().model.width);
  if (arena.counting()) return;
  batches_.clear();
  for (int i = 0; i < needs.slots; ++i) batches_.emplace_back(use.sequences, model_.share().shares);
  tokens_.resize(static_cast<std::size_t>(use.sequences * (use.rows + 1)));
  refill(free_slots_, needs.slots);
  refill(free_deferred_, needs.deferred);
}

void PipelineRuntime::run(const PipelineSchedule& schedule, Pass<float>& pass,
                          const Model<float>::Options& options, MicroBatches& micro_batches) {
  const auto micro = static_cast<std::size_t>(schedule.shape.stream_micro_batches());
  live_.resize(static_cast<std::size_t>(schedule.shape.chunks()));
  for (std::vector<Live>& units : live_) units.assign(micro, Live{});
  events_.clear();
  started_ = steady_seconds();
  link_.begin(schedule);
  const int rank = link_.rank();
  const std::vector<PipelineOp>& ops = schedule.ops[static_cast<std::size_t>(rank)];
  const int first_last = last_weight_gradient(schedule, 0);
  const int second_last = last_weight_gradient(schedule, 1);
  for (int i = 0; i < static_cast<int>(ops.size()); ++i) {
    execute(schedule, ops[static_cast<std::size_t>(i)], pass, options, micro_batches);
    if (i == first_last) micro_batches.gradients_complete(0);
    if (i == second_last) micro_batches.gradients_complete(1);
  }
  if (schedule.shape.ranks == 1) return;
  const Timers::Scope time(timers_, part_.waiting);
  link_.end();
}

/// The position of the last op that adds to the gradients of a chunk; -1 for none.
int PipelineRuntime::last_weight_gradient(const PipelineSchedule& schedule, int chunk) const {
  const std::vector<PipelineOp>& ops = schedule.ops[static_cast<std::size_t>(link_.rank())];
  for (int i = static_cast<int>(ops.size()); i-- > 0;) {
    const PipelineOp& op = ops[static_cast<std::size_t>(i)];
    if (op.has_weight_gradient() && op.backward.chunk == chunk) return i;
  }
  return -1;
}

/// A slot and tokens.
ModelUnit PipelineRuntime::begin_forward(const Unit& unit, MicroBatches& micro_batches) {
  Live& place = live(unit);
  place.slot = take(free_slots_);
  const ModelUnit in_model{unit.chunk, place.slot, -1};
  const ModelChunk& chunk = model_.chunks()[static_cast<std::size_t>(unit.chunk)];
  const bool reads = chunk.embedding || chunk.head;
  BatchLayout& batch = batches_[static_cast<std::size_t>(place.slot)];
  micro_batches.load(unit, batch, reads ? std::span(tokens_) : std::span<std::int32_t>());
  if (reads) model_.upload(in_model, tokens_);
  return in_model;
}

void PipelineRuntime::execute(const PipelineSchedule& schedule, const PipelineOp& op,
                              Pass<float>& pass, const Model<float>::Options& options,
                              MicroBatches& micro_batches) {
  const PipelineShape& shape = schedule.shape;
  const int rank = link_.rank();
  ModelUnit f, b;
  Matrix<float> out, dh = model_.gradient_buffer();
  if (op.has_forward()) f = begin_forward(op.forward, micro_batches);
  if (op.kind != OpKind::F) {
    Live& place = live(op.backward);
    if (op.kind == OpKind::B) place.deferred = take(free_deferred_);
    b = {op.backward.chunk, place.slot, place.deferred};
  }
  const Transfers outgoing = sends(shape, rank, op);
  const Transfers incoming = receives(shape, rank, op);
  if (outgoing.size() + incoming.size() > 0) {
    const Timers::Scope time(timers_, part_.waiting);
    for (const Transfer& t : outgoing)
      (t.payload == Payload::activation ? out : dh) = link_.buffer(t);
    for (const Transfer& t : incoming)
      link_.receive(pass.exec, t, t.payload == Payload::activation ? model_.input(f) : dh);
  }
  const double begin = steady_seconds();
  const auto batch = [&](const ModelUnit& unit) -> const BatchLayout& {
    return batches_[static_cast<std::size_t>(unit.slot)];
  };
  const Timers::Scope time(timers_, op.kind == OpKind::F    ? part_.forward
                                    : op.kind == OpKind::FB ? part_.overlapped
                                                            : part_.backward);
  std::optional<ForwardPass<float>> forward;
  std::optional<BackwardPass<float>> backward;
  if (op.has_forward()) forward.emplace(model_, pass, f, batch(f), options, out);
  if (op.kind != OpKind::F) backward.emplace(model_, pass, b, batch(b), options, dh);
  switch (op.kind) {
    case OpKind::F:
      forward->run();
      break;
    case OpKind::B:
      backward->run_input();
      break;
    case OpKind::W:
      backward->run_weight();
      break;
    case OpKind::BW:
      backward->run();
      break;
    case OpKind::FB:
      run_overlapped(*forward, *backward);
      break;
  }
  if (op.has_forward()) micro_batches.forwarded(f, batch(f));
  for (const Transfer& t : outgoing) link_.send(pass.exec, t);
  finish(op, schedule.forward_only);
  events_.push_back({op, begin - started_, steady_seconds() - started_});
}

/// Gives back what the units of an op do not need any more.
void PipelineRuntime::finish(const PipelineOp& op, bool forward_only) {
  if (forward_only) free_slots_.push_back(live(op.forward).slot);
  if (!op.has_weight_gradient()) return;
  Live& place = live(op.backward);
  free_slots_.push_back(place.slot);
  if (place.deferred >= 0) free_deferred_.push_back(place.deferred);
  place = {};
}

}  // namespace moray
