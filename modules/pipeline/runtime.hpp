#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/timers.hpp"
#include "model/chunk_pass.hpp"
#include "pipeline/simulate.hpp"
#include "pipeline/stage_link.hpp"

namespace moray {

/// What a rank needs to run any of some schedules.
struct RuntimeNeeds {
  int slots = 1;     ///< micro-batches whose activations are kept
  int deferred = 0;  ///< micro-batches whose weight gradients are put off
  LinkBuffers buffers;
  /// What both need.
  void include(const RuntimeNeeds& other);
};
/// The most that one of the schedules needs, of each rank. Throws Error(usage) unless all are sound.
std::vector<RuntimeNeeds> runtime_needs(const std::vector<PipelineSchedule>& schedules,
                                        const LaneOrder& lanes = {});

/// Whom the runtime asks for micro-batches, and tells what became of them.
class MicroBatches {
 public:
  virtual ~MicroBatches() = default;
  /// Says which sequences a unit has, and fills its tokens (b, S + 1) unless there are none to fill.
  virtual void load(const Unit& unit, BatchLayout& batch, std::span<std::int32_t> tokens) = 0;
  /// The unit's losses are there.
  virtual void forwarded(const ModelUnit& unit, const BatchLayout& batch) = 0;
  /// No op to come adds to the gradients of this chunk.
  virtual void gradients_complete(int /*chunk*/) {}
};

/// Runs the ops of a schedule on this rank with the model's chunks: the one runtime of all schedules.
class PipelineRuntime {
 public:
  /// `ranks`: the pipeline. Parts of `timers`: forward, backward, overlapped, waiting.
  PipelineRuntime(Model<float>& model, const Communicator& ranks, Timers& timers);

  void allocate(Arena& arena, const RuntimeNeeds& needs);
  /// What allocate() takes, for a plan without MPI.
  static void count(Arena& arena, const RuntimeNeeds& needs, const Model<float>& model) {
    const ModelUse& use = model.use();
    StageLink::count(arena, needs.buffers, use.sequences * use.rows, model.config().model.width);
  }

  /// The schedule was proved, and this rank's memory is enough for it. Collective over the pipeline.
  void run(const PipelineSchedule& schedule, Pass<float>& pass,
           const Model<float>::Options& options, MicroBatches& micro_batches);

  /// When each op of the last run() began and ended on this rank, without waiting, in seconds.
  const std::vector<TimelineEvent>& events() const { return events_; }
  double started() const { return started_; }
  /// The messages of this rank.
  const StageLink& link() const { return link_; }

 private:
  struct Live {
    int slot = -1;
    int deferred = -1;
  };
  Live& live(const Unit& unit) {
    return live_[static_cast<std::size_t>(unit.chunk)][static_cast<std::size_t>(unit.micro)];
  }
  ModelUnit begin_forward(const Unit& unit, MicroBatches& micro_batches);
  void execute(const PipelineSchedule& schedule, const PipelineOp& op, Pass<float>& pass,
               const Model<float>::Options& options, MicroBatches& micro_batches);
  void finish(const PipelineOp& op, bool forward_only);
  int last_weight_gradient(const PipelineSchedule& schedule, int chunk) const;

  Model<float>& model_;
  StageLink link_;
  Timers& timers_;
  struct {
    std::size_t forward, backward, overlapped, waiting;
  } part_;
  std::vector<BatchLayout> batches_;  ///< of each slot
  std::vector<std::int32_t> tokens_;
  std::vector<int> free_slots_, free_deferred_;
  std::vector<std::vector<Live>> live_;  ///< [chunk][micro]
  std::vector<TimelineEvent> events_;
  double started_ = 0;
};

}  // namespace moray
