#include "training/trainer.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/elementwise/elementwise.hpp"

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

/// Each use of a tensor has the owners of the tensor.
Shards shards_of(const WeightRef& tensor, const ModelShards& shards) {
  return shards[tensor.region].within(tensor.offset, tensor.offset + tensor.rows * tensor.cols);
}

/// The first value before `at`, the second from there on; `at` 0 means never.
double switched(double early, double late, std::int64_t at, std::int64_t step) {
  return at > 0 && step >= at ? late : early;
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
      deal_(layout_.deal),
      micro_(layout_.use.sequences),
      model_(deck.model, layout_.share),
      optimizer_(deck.optimizer, model_.parameters()),
      shards_(rank_shards(layout_, model_)),
      embedding_shards_(shards_of(model_.embedding(), shards_)),
      reducers_{LaneReducer(mesh_.data()), LaneReducer(mesh_.replicas())},
      batch_(micro_, deal_.group_size()) {
  part_ = {timers_.part("step"),          timers_.part("step/data"),   timers_.part("step/forward"),
           timers_.part("step/backward"), timers_.part("step/reduce"), timers_.part("step/update")};
}

void Trainer::allocate(Arena& arena) {
  const Vector<float> received = allocate_rank(arena, layout_, shards_, model_, optimizer_);
  for (LaneReducer& reducer : reducers_) reducer.set_buffer(received);
  if (arena.counting()) return;
  tokens_.resize(static_cast<std::size_t>(micro_ * (deck_.batch.length + 1)));
  host_losses_.resize(static_cast<std::size_t>(std::max(deck_.batch.length, micro_)));
  use_losses_.resize(static_cast<std::size_t>(model_.depth() + 1));
}

void Trainer::initialize() {
  model_.initialize(pass_.exec, deck_.run.seed);
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
  StepReport report = scheduled(step);
  Model<float>::Options options;
  if (model_.depth() > 0) {
    options.mtp_lambda =
        static_cast<float>(report.mtp_weight / static_cast<double>(model_.depth()));
  }
  clear_sums();
  const auto first = static_cast<std::uint64_t>(timeline_.samples_before(step));
  const std::int64_t micro_batches = report.sequences / ranks_.size() / micro_;
  agree_on_errors(ranks_, [&] {
    for (std::int64_t i = 0; i < micro_batches; ++i) {
      batch_.assign(deal_, i, micro_);
      run_micro_batch(report, first, sample, options);
    }
  });
  reduce(report);
  update(report);
  fence(pass_.exec, "moray::trainer: end of the step");
  return report;
}

void Trainer::clear_sums() {
  model_.clear_gradients(pass_.exec);
  for (Moe<float>* moe : model_.moe_layers()) {
    std::fill(moe->loads().begin(), moe->loads().end(), 0);
  }
  std::fill(use_losses_.begin(), use_losses_.end(), ExactSum());
  balance_ = ExactSum();
}

void Trainer::run_micro_batch(const StepReport& report, std::uint64_t first, const Sample& sample,
                              const Model<float>::Options& options) {
  const auto window = static_cast<std::size_t>(deck_.batch.length + 1);
  {
    const Timers::Scope time(timers_, part_.data);
    for (std::size_t s = 0; s < batch_.global().size(); ++s) {
      sample(first + static_cast<std::uint64_t>(batch_.global()[s]),
             std::span(tokens_).subspan(s * window, window));
    }
  }
  {
    const Timers::Scope time(timers_, part_.forward);
    model_.forward(pass_, batch_, tokens_, options);
    collect_losses(report);
  }
  const Timers::Scope time(timers_, part_.backward);
  model_.backward(pass_, batch_, options);
}

/// The optimizer's part of a step, or the reason why there is none.
void Trainer::update(StepReport& report) {
  const Timers::Scope time(timers_, part_.update);
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
  for (const Region region : {Region::dense, Region::expert})
    reducer(region).gather(pass_.exec, model_.parameters().weights(region), shards_[region]);
  update_biases(report);
}

/// Token losses of a micro-batch into exact sums, so that no order is left to define.
void Trainer::collect_losses(const StepReport& report) {
  fence(pass_.exec, "moray::trainer: losses to the host");
  for (std::int64_t s = 0; s < micro_; ++s) {
    for (std::int64_t use = 0; use <= model_.depth(); ++use) {
      const Vector<const float> losses = model_.losses(s, use);
      copy_to_host(losses.data, static_cast<std::size_t>(losses.size), host_losses_.data());
      for (std::int64_t i = 0; i < losses.size; ++i) {
        const float loss = host_losses_[static_cast<std::size_t>(i)];
        if (!std::isfinite(loss) && deck_.optimizer.non_finite == "stop") {
          fail(ExitCode::numerics, "step {}: the loss of position {} of sequence {} is not finite",
               report.step, i, batch_.global()[static_cast<std::size_t>(s)]);
        }
        use_losses_[static_cast<std::size_t>(use)].add(static_cast<double>(loss));
      }
    }
  }
  if (deck_.model.moe.sequence_loss <= 0) return;
  for (std::size_t layer = 0; layer < model_.moe_layers().size(); ++layer) {
    const Vector<const float> losses = model_.balance_losses(static_cast<std::int64_t>(layer));
    copy_to_host(losses.data, static_cast<std::size_t>(losses.size), host_losses_.data());
    for (std::int64_t s = 0; s < losses.size; ++s)
      balance_.add(static_cast<double>(host_losses_[static_cast<std::size_t>(s)]));
  }
}

/// Shows the probe, if there is one, the levels of a fold.
LaneReducer::Observer Trainer::fold_observer(Region region, std::int64_t use) {
  if (pass_.probe == nullptr) return {};
  return [=, probe = pass_.probe](std::int64_t lanes, std::int64_t lane, std::int64_t first,
                                  Vector<const float> values) {
    probe->folded({region, use, lanes, lane, first}, values);
  };
}

/// Lanes of all ranks into their sums, each element on its owner.
void Trainer::reduce_gradients() {
  const bool exact = deck_.run.determinism == "exact";
  Parameters<float>& parameters = model_.parameters();
  if (pass_.probe != nullptr) pass_.probe->lanes(model_);
  for (const Region region : {Region::dense, Region::expert}) {
    reducer(region).reduce(pass_.exec, parameters.gradients(region), shards_[region], exact,
                           fold_observer(region, 0));
  }
  const Matrix<float> embedding = parameters.gradient(model_.embedding(), 0);
  const ElementRange owned = embedding_shards_.owned();
  std::int64_t uses = 0;
  for (const Matrix<float>& use : model_.embedding_uses()) {
    reducer(Region::dense)
        .reduce(pass_.exec, use, embedding_shards_, exact, fold_observer(Region::dense, ++uses));
    const Matrix<float> sum = matrix(embedding.data + owned.begin, 1, owned.size());
    add<float>(pass_.exec, sum, matrix(use.data + owned.begin, 1, owned.size()), sum);
  }
}

/// Gradients, losses and loads of all ranks.
void Trainer::reduce(StepReport& report) {
  const Timers::Scope time(timers_, part_.reduce);
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
  ExactSum total;
  const std::int64_t length = deck_.batch.length + 1;
  const std::int64_t all = micro_ * ranks_.size();
  Deal deal = deal_;  // one lane a rank: there are no gradients
  deal.lanes = deal.data_ranks;
  deal.expert_lanes = deal.replicas();
  for (std::int64_t first = 0; first < count; first += all) {
    batch_.assign(deal, 0, micro_);
    const std::int64_t mine = first + ranks_.rank() * micro_;
    for (std::int64_t s = 0; s < micro_; ++s) {
      // Rows behind the last window repeat it and are not counted.
      const auto w = static_cast<std::uint64_t>(std::min(mine + s, count - 1));
      window(w, std::span(tokens_).subspan(static_cast<std::size_t>(s * length),
                                           static_cast<std::size_t>(length)));
    }
    model_.forward(pass_, batch_, tokens_, {0, Routing::evaluate});
    fence(pass_.exec, "moray::trainer: validation losses to the host");
    for (std::int64_t s = 0; s < micro_ && mine + s < count; ++s) {
      const Vector<const float> losses = model_.losses(s, 0);
      copy_to_host(losses.data, static_cast<std::size_t>(losses.size), host_losses_.data());
      for (std::int64_t i = 0; i < losses.size; ++i)
        total.add(static_cast<double>(host_losses_[static_cast<std::size_t>(i)]));
    }
  }
  ranks_.sum(total);
  return {total.value() / static_cast<double>(count * deck_.batch.length), count};
}

}  // namespace moray
