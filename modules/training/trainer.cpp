#include "training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/error.hpp"
#include "core/recorder.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "pipeline/check.hpp"
#include "training/layout_rules.hpp"
#include "training/trainer_work.hpp"

namespace moray {
namespace {

ScheduleSteps schedule_steps(const Deck& deck, const Timeline& timeline) {
  const LearningRateConfig& rate = deck.learning_rate;
  return {timeline.steps(rate.warmup), timeline.steps(rate.constant),
          timeline.steps(rate.decay_end), timeline.steps(rate.tail_start), timeline.total()};
}

/// The layout with the ranks that share the experts, and the nodes that they are on.
RankLayout spread(RankLayout layout, const Mesh& mesh, const std::string& traffic) {
  layout.share.group = &mesh.expert_group();
  layout.share.node_ranks = mesh.group_node_ranks();
  layout.share.two_hops = traffic != "flat" && layout.share.node_ranks > 0;
  if (layout.share.two_hops) {
    layout.share.across = &mesh.across();
    layout.share.inside = &mesh.inside();
  }
  return layout;
}

/// The first value before `at`, the second from there on; `at` 0 means never.
double switched(double early, double late, std::int64_t at, std::int64_t step) {
  return at > 0 && step >= at ? late : early;
}

/// The ops of the first rank of `group`, on all its ranks.
std::vector<PipelineOp> first_ranks_ops(const Communicator& group,
                                        const std::vector<PipelineOp>& mine) {
  static_assert(std::is_trivially_copyable_v<PipelineOp>);
  const std::string packed(reinterpret_cast<const char*>(mine.data()),
                           mine.size() * sizeof(PipelineOp));
  const std::string first = group.broadcast(packed, 0);
  std::vector<PipelineOp> ops(first.size() / sizeof(PipelineOp));
  std::memcpy(ops.data(), first.data(), first.size());
  return ops;
}

}  // namespace

double max_violation(const std::vector<std::int64_t>& loads) {
  std::int64_t total = 0;
  std::int64_t most = 0;
  for (const std::int64_t load : loads) {
    total += load;
    most = std::max(most, load);
  }
  if (total == 0) return 0;
  return static_cast<double>(most) * static_cast<double>(loads.size()) /
             static_cast<double>(total) -
         1;
}

Trainer::Trainer(const Deck& deck, const Communicator& ranks)
    : deck_(deck),
      ranks_(ranks),
      mesh_(ranks, mesh_shape(deck, ranks.size())),
      timeline_(deck.batch, deck.length),
      schedule_(schedule_steps(deck, timeline_)),
      layout_(
          spread(rank_layout(deck, mesh_.shape(), mesh_.place()), mesh_, deck.parallel.traffic)),
      micro_(layout_.use.sequences),
      model_(deck.model, layout_.share, layout_.chunks),
      optimizer_(deck.optimizer, model_.parameters()),
      shards_(rank_shards(layout_, model_)),
      embedding_shards_(embedding_shards(layout_, shards_, model_)),
      embedding_bytes_(embedding_shards_.mapped(
          [](std::int64_t border) { return border * static_cast<std::int64_t>(sizeof(float)); })),
      uses_reducer_(mesh_.copies(chunk_of(uses_region()))),
      part_{timers_.part("step"), timers_.part("step/data"), timers_.part("step/reduce"),
            timers_.part("step/update")},
      runtime_(model_, mesh_.pipeline(), timers_) {
  regions_ = regions_in_order();
  for (int r = 0; r < kRegions; ++r) {
    const auto region = static_cast<Region>(r);
    const int chunk = std::min(chunk_of(region), layout_.pipeline.chunks() - 1);
    reducers_.emplace_back(is_expert(region) ? mesh_.expert_copies(chunk) : mesh_.copies(chunk));
  }
}

void Trainer::use_schedule(const PipelineSchedule& schedule) {
  const auto place = static_cast<std::size_t>(mesh_.place().pipeline);
  RuntimeNeeds needs;
  agree_on_errors(ranks_, [&] {
    const PipelineShape& shape = schedule.shape;
    if (shape.kind != layout_.pipeline.kind || shape.ranks != layout_.pipeline.ranks)
      fail(ExitCode::usage, "a schedule {} of {} ranks is no schedule {} of {}",
           schedule_name(shape.kind), shape.ranks, schedule_name(layout_.pipeline.kind),
           layout_.pipeline.ranks);
    needs = runtime_needs({schedule}, lane_order())[place];
  });
  const Communicator& group = mesh_.expert_group();
  const std::vector<PipelineOp> first = first_ranks_ops(group, schedule.ops[place]);
  agree_on_errors(ranks_, [&] {
    std::optional<ScheduleFault> fault = prove_group({first, schedule.ops[place]});
    if (!fault) return;
    fault->rank = group.rank();
    fail(ExitCode::usage, "ranks that share experts were given different schedules: {}",
         fault->message());
  });
  layout_.needs.include(needs);
  layout_.use.slots = layout_.needs.slots;
  layout_.use.deferred = layout_.needs.deferred;
  given_ = schedule;
}

void Trainer::allocate(Arena& arena) {
  const GradientBuffers buffers =
      allocate_rank(arena, layout_, shards_, model_, optimizer_, &runtime_);
  received_ = buffers.shared;
  gathered_.clear();
  for (const Region region : regions_) {
    const auto more = gathered_shards(model_.parameters(), region, shards_[region]);
    gathered_.insert(gathered_.end(), more.begin(), more.end());
  }
  uses_reducer_.set_buffer(received_);
  early_chunk_ = layout_.early_chunk;
  for (int r = 0; r < kRegions; ++r) {
    LaneReducer& reducer = reducers_[static_cast<std::size_t>(r)];
    if (chunk_of(static_cast<Region>(r)) == early_chunk_) {
      reducer.set_own_buffer(buffers.early[r % 2]);
    } else {
      reducer.set_buffer(received_);
    }
  }
  if (arena.counting()) return;
  host_losses_.resize(static_cast<std::size_t>(std::max(deck_.batch.length, micro_)));
  use_losses_.resize(static_cast<std::size_t>(model_.depth() + 1));
}

void Trainer::initialize() {
  model_.initialize(pass_.exec, deck_.run.seed);
  gather(Gathered::codes);
  gather(Gathered::scales);
  optimizer_.start_ema(pass_.exec, model_.parameters());
  fence(pass_.exec, "moray::trainer: initialised");
}

/// What the schedules say about a step.
StepReport Trainer::scheduled(std::int64_t step) const {
  const ModelConfig& config = deck_.model;
  StepReport report;
  report.step = step + 1;
  report.sequences = timeline_.sequences(step);
  report.learning_rate = learning_rate(deck_.learning_rate, schedule_, report.step);
  if (config.mtp.depth > 0) {
    report.mtp_weight = switched(config.mtp.weight, config.mtp.weight_late,
                                 timeline_.steps(config.mtp.switch_at), step);
  }
  report.bias_rate =
      switched(config.moe.bias_rate, 0, timeline_.steps(config.moe.bias_until), step);
  return report;
}

StepReport Trainer::step(std::int64_t step, const Sample& sample) {
  const Timers::Scope whole(timers_, part_.step);
  const LinkBytes before = sent_so_far();
  StepReport report = scheduled(step);
  Model<float>::Options options;
  if (model_.depth() > 0) {
    options.mtp_lambda =
        static_cast<float>(report.mtp_weight / static_cast<double>(model_.depth()));
  }
  clear_sums();
  if (counts_fp8(step)) begin_fp8_statistics();
  TrainingWork work(*this, report, sample);
  runtime_.run(schedule(report.sequences), pass_, options, work);
  pass_.statistics = nullptr;
  // Each stage reduces when it is done, whatever the others still compute.
  reduce(report);
  agree_on_errors(ranks_, [&] { pass_.throw_error(); });
  if (counts_fp8(step)) end_fp8_statistics(report);
  update(report);
  fence(pass_.exec, "moray::trainer: end of the step");
  sent_ = sent_so_far() - before;
  fan_out_ = {};
  for (const Moe<float>* moe : model_.moe_layers()) fan_out_.add(moe->fan_out());
  return report;
}

/// Since the beginning: what the parts of this rank counted.
LinkBytes Trainer::sent_so_far() const {
  LinkBytes sent;
  sent[LinkKind::activations] = runtime_.link().sent(Payload::activation);
  sent[LinkKind::gradients] = runtime_.link().sent(Payload::gradient);
  sent[LinkKind::tokens] = mesh_.expert_group().sent();
  if (mesh_.group_node_ranks() > 0) {
    sent[LinkKind::tokens] += mesh_.across().sent();
    sent[LinkKind::tokens] += mesh_.inside().sent();
  }
  for (const Region region : regions_) {
    const LaneReducer& reducer = reducers_[static_cast<std::size_t>(region)];
    const std::size_t levels = reducer.sums_sent().size();
    for (std::size_t level = 0; level < levels; ++level) {
      // The nearest partner of J = 2 j + direction is the other direction.
      const bool directions = mesh_.shape().mirrored && level + 1 == levels;
      const bool expert = is_expert(region);
      sent[directions ? LinkKind::direction_sums
           : expert   ? LinkKind::expert_sums
                      : LinkKind::dense_sums] += reducer.sums_sent()[level];
      sent[directions ? LinkKind::direction_weights
           : expert   ? LinkKind::expert_weights
                      : LinkKind::dense_weights] += reducer.weights_sent()[level];
    }
  }
  sent[LinkKind::embedding] = embedding_sent_;
  for (const SentBytes& bytes : uses_reducer_.sums_sent()) sent[LinkKind::embedding] += bytes;
  for (const SentBytes& bytes : uses_reducer_.weights_sent()) sent[LinkKind::embedding] += bytes;
  return sent;
}

LaneOrder Trainer::lane_order() const {
  const Deal& deal = layout_.deals[0];
  return {micro_, deal.local_lanes(), deal.local_expert_lanes(), deal.group_size()};
}

/// Proved when it is made; a batch ramp makes one for each number of micro-batches.
const PipelineSchedule& Trainer::schedule(std::int64_t sequences) {
  const PipelineShape shape = pipeline_shape(deck_, sequences, mesh_.shape().data);
  if (steps_.shape.micro_batches != shape.micro_batches || steps_.ops.empty()) {
    const bool given = !given_.ops.empty() && given_.shape.micro_batches == shape.micro_batches;
    steps_ = given ? given_ : make_schedule(shape);
    require_sound(steps_, lane_order());
  }
  return steps_;
}

void Trainer::clear_sums() {
  model_.clear_gradients(pass_.exec);
  for (Moe<float>* moe : model_.moe_layers()) {
    std::fill(moe->loads().begin(), moe->loads().end(), 0);
    moe->clear_fan_out();
  }
  std::fill(use_losses_.begin(), use_losses_.end(), ExactSum());
  balance_ = ExactSum();
}

/// The optimizer's part of a step, or the reason why there is none.
void Trainer::update(StepReport& report) {
  const Timers::Scope time(timers_, part_.update);
  const Recorder::Scope recorded(Phase::update);
  report.norm = optimizer_.norm(pass_.exec, model_.parameters(), tokens_of(report), ranks_);
  const bool finite = report.norm.finite && std::isfinite(report.loss);
  if (!finite && deck_.optimizer.non_finite == "stop") {
    fail(
        ExitCode::numerics, "step {}: {} is not finite; nothing was updated", report.step,
        report.norm.finite ? std::string("the loss") : "the gradient of " + report.norm.bad_tensor);
  }
  report.skipped = !finite;
  if (!finite) return;
  optimizer_.update(pass_.exec, model_.parameters(), report.norm, report.step,
                    report.learning_rate);
  gather(Gathered::values);
  weights_changed();
  update_biases(report);
}

/// From its owners to all that have copies of it.
void Trainer::gather(Gathered what) {
  for (const GatheredShards& shards : gathered_) {
    if (shards.what == what)
      reducer(shards.region)
          .gather(pass_.exec, model_.parameters().gathered(shards.region, what), shards.bytes);
  }
}

/// Gradients, losses and loads of all ranks.
void Trainer::reduce(StepReport& report) {
  const Timers::Scope time(timers_, part_.reduce);
  const Recorder::Scope recorded(Phase::reduce);
  reduce_gradients();
  const auto tokens = static_cast<double>(tokens_of(report));
  for (std::size_t use = 0; use < use_losses_.size(); ++use) {
    ranks_.sum(use_losses_[use]);
    const double mean = use_losses_[use].value() / tokens;
    if (use == 0) report.loss = mean;
    if (use > 0) report.mtp.push_back(mean);
  }
  ranks_.sum(balance_);
  report.balance = balance_.value() / static_cast<double>(report.sequences);
  counts_.clear();
  for (const Moe<float>* moe : model_.moe_layers()) {
    counts_.insert(counts_.end(), moe->loads().begin(), moe->loads().end());
  }
  if (!counts_.empty()) ranks_.sum(counts_);
  auto next = counts_.begin();
  for (Moe<float>* moe : model_.moe_layers()) {
    const auto end = next + static_cast<std::ptrdiff_t>(moe->loads().size());
    moe->loads().assign(next, end);  // what checkpoints hold is that of all ranks
    report.loads.push_back(moe->loads());
    next = end;
  }
}

/// b_i += gamma sign(K T - E c_i) in int64 over all tokens that the layer routed in the step
/// (Wang et al., 2024, algorithm 1).
void Trainer::update_biases(const StepReport& report) {
  const float rate = static_cast<float>(report.bias_rate);
  std::vector<float> bias;
  for (std::size_t layer = 0; layer < report.loads.size(); ++layer) {
    const Vector<float> device = model_.moe_layers()[layer]->bias();
    if (rate == 0 || device.size == 0) continue;
    const std::vector<std::int64_t>& loads = report.loads[layer];
    std::int64_t routed = 0;  // K T
    for (const std::int64_t load : loads) routed += load;
    bias.resize(loads.size());
    copy_to_host(device.data, bias.size(), bias.data());
    for (std::size_t e = 0; e < loads.size(); ++e) {
      const std::int64_t difference = routed - static_cast<std::int64_t>(loads.size()) * loads[e];
      if (difference > 0) bias[e] = bias[e] + rate;
      if (difference < 0) bias[e] = bias[e] - rate;
    }
    copy_to_device(bias.data(), bias.size(), device.data);
  }
}

Trainer::Evaluation Trainer::evaluate(std::int64_t count, const Sample& window) {
  const std::int64_t at_once = micro_ * layout_.deals[0].data_ranks;
  PipelineShape shape = layout_.pipeline;
  shape.micro_batches = static_cast<int>((count + at_once - 1) / at_once) * shape.streams();
  if (windows_.ops.empty() || windows_.shape.micro_batches != shape.micro_batches) {
    windows_ = make_forward_schedule(shape);
    require_sound(windows_);
  }
  ValidationWork work(*this, count, window);
  runtime_.run(windows_, pass_, {0, Routing::evaluate}, work);
  agree_on_errors(ranks_, [&] { pass_.throw_error(); });
  ranks_.sum(work.total);
  return {work.total.value() / static_cast<double>(count * deck_.batch.length), count};
}

}  // namespace moray
