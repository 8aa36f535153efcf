#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/mesh.hpp"
#include "core/exact_sum.hpp"
#include "core/timers.hpp"
#include "model/model.hpp"
#include "optimizer/lane_reducer.hpp"
#include "optimizer/optimizer.hpp"
#include "optimizer/schedule.hpp"
#include "pipeline/runtime.hpp"
#include "training/link_bytes.hpp"
#include "training/rank_memory.hpp"
#include "training/timeline.hpp"
#include "training/training_config.hpp"

namespace moray {

/// What one step did; the same on every rank.
struct StepReport {
  std::int64_t step = 0;  ///< of the update, 1 is the first
  std::int64_t sequences = 0;
  double loss = 0;          ///< nats per token of the trunk
  std::vector<double> mtp;  ///< of each MTP module, its sum over T - k terms divided by T
  double balance = 0;       ///< mean over sequences, summed over MoE layers, alpha included
  Optimizer::Norm norm;
  double learning_rate = 0;
  double mtp_weight = 0;                         ///< lambda
  double bias_rate = 0;                          ///< gamma
  bool skipped = false;                          ///< a value was not finite and the deck says skip
  std::vector<std::vector<std::int64_t>> loads;  ///< (MoE layers, E), MTP modules last
  /// (tensors, x|dy|w, kStatisticWords) of Parameters::fp8_tensors(); empty unless the step counted.
  std::vector<std::int64_t> fp8;
};

/// max(load) / mean(load) - 1 (Wang et al., 2024).
double max_violation(const std::vector<std::int64_t>& loads);

/// The arithmetic of training: model, pipeline, optimizer and the reductions over ranks, without files.
class Trainer {
 public:
  /// Fills (T + 1) tokens of a sample of the run.
  using Sample = std::function<void(std::uint64_t, std::span<std::int32_t>)>;

  Trainer(const Deck& deck, const Communicator& ranks);

  /// Before allocate(): steps of as many micro-batches as this schedule has run it instead of the one
  /// that make_schedule() gives. Called by all ranks together. Throws Error(usage) on all of them unless it
  /// is sound, of the deck's kind and ranks, and the same on ranks that share experts.
  void use_schedule(const PipelineSchedule& schedule);
  /// Takes all memory of a rank; the same with a counting arena for the plan.
  void allocate(Arena& arena);
  /// Seeded weights of a new run.
  void initialize();

  /// One optimizer step on samples [timeline.samples_before(step), ...). Throws Error(numerics) for
  /// a loss or gradient that is not finite, unless the deck says to skip the step; weights, moments
  /// and biases are then untouched.
  StepReport step(std::int64_t step, const Sample& sample);
  /// After float32 values of weights changed: what products read of them, and the copies of the
  /// embedding.
  void weights_changed();

  struct Evaluation {
    double loss = 0;  ///< nats per token
    std::int64_t windows = 0;
  };
  /// Mean trunk loss of windows [0, count), dealt over the ranks; the same bits on any number.
  Evaluation evaluate(std::int64_t count, const Sample& window);

  Model<float>& model() { return model_; }
  const Model<float>& model() const { return model_; }
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Timeline& timeline() const { return timeline_; }
  const Deck& deck() const { return deck_; }
  Pass<float>& pass() { return pass_; }
  const Mesh& mesh() const { return mesh_; }
  Timers& timers() { return timers_; }
  std::int64_t micro() const { return micro_; }
  const RankLayout& layout() const { return layout_; }
  /// Elements of the sum of each use of the embedding by an MTP module that this rank has after a step, in
  /// row 0 of the model's embedding_uses(), if it has any.
  ElementRange owned_embedding_uses() const { return embedding_shards_.owned(); }
  /// Whether this rank saves the gate's bias and loads of a MoE layer.
  bool saves_gate(std::size_t moe_layer) const {
    return moray::saves_gate(layout_, model_, moe_layer);
  }
  /// The ops of this rank in the last step, in seconds from its start (on the clock of
  /// steady_seconds()), and their schedule.
  const std::vector<TimelineEvent>& events() const { return runtime_.events(); }
  double started() const { return runtime_.started(); }
  const PipelineSchedule& last_schedule() const { return steps_; }
  /// What this rank sent in the last step, by kind.
  const LinkBytes& sent() const { return sent_; }
  /// What became of this rank's tokens in the last step, over its MoE layers.
  const FanOut& fan_out() const { return fan_out_; }

 private:
  friend class TrainingWork;
  friend class ValidationWork;
  StepReport scheduled(std::int64_t step) const;
  void clear_sums();
  LaneOrder lane_order() const;
  const PipelineSchedule& schedule(std::int64_t sequences);
  /// Of the lanes of the embedding's uses.
  Region uses_region() const {
    return layout_.borrows_embedding ? Region::dense : model_.embedding().region;
  }
  LaneReducer& reducer(Region region) { return reducers_[static_cast<std::size_t>(region)]; }
  std::vector<Region> regions_in_order() const;
  LaneReducer::Observer fold_observer(Region region, std::int64_t use);
  void reduce_gradients();
  void reduce_embedding_uses();
  void send_embedding(Vector<const float> values, int place);
  void receive_embedding(Vector<float> values, int place);
  void reduce(StepReport& report);
  void update(StepReport& report);
  void gather(Gathered what);
  void update_biases(const StepReport& report);
  bool counts_fp8(std::int64_t step) const;
  void begin_fp8_statistics();
  void end_fp8_statistics(StepReport& report);
  LinkBytes sent_so_far() const;
  std::int64_t tokens_of(const StepReport& report) const {
    return report.sequences * deck_.batch.length;
  }

  Deck deck_;
  const Communicator& ranks_;
  Mesh mesh_;
  Timeline timeline_;
  ScheduleSteps schedule_;
  RankLayout layout_;
  std::int64_t micro_ = 1;
  Model<float> model_;
  Optimizer optimizer_;
  ModelShards shards_;
  Shards embedding_shards_;               ///< of each use of the embedding: its owners
  Shards embedding_bytes_;                ///< the same of its copy
  std::vector<Region> regions_;           ///< in the order in which they are reduced
  std::vector<GatheredShards> gathered_;  ///< in that order
  std::vector<LaneReducer> reducers_;     ///< of each region: over the copies of its tensors
  LaneReducer uses_reducer_;          ///< of the embedding's uses: over the copies of what has them
  Vector<float> received_;            ///< gradients of other ranks
  int early_chunk_ = -1;              ///< the one whose gradients are complete first
  Message message_{"the embedding"};  ///< kept, as a step allocates nothing
  Pass<float> pass_;
  PipelineSchedule given_;            ///< by use_schedule(), if it has ops
  PipelineSchedule steps_, windows_;  ///< those that ran last, to be used again
  std::vector<float> host_losses_;
  std::vector<std::int64_t> counts_;
  std::vector<ExactSum> use_losses_;
  ExactSum balance_;
  SentBytes embedding_sent_;  ///< in messages, since the beginning
  LinkBytes sent_;
  FanOut fan_out_;
  Timers timers_;
  struct {
    std::size_t step, data, reduce, update;
  } part_;
  PipelineRuntime runtime_;
};

}  // namespace moray
