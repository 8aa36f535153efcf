#include "training/trainer_work.hpp"

#include <algorithm>
#include <cmath>

namespace moray {
namespace {

/// The losses of a row of a matrix in the memory of the backend, one by one.
template <class Visit>
void visit(std::vector<float>& host, const Vector<const float>& losses, const Visit& see) {
  copy_to_host(losses.data, static_cast<std::size_t>(losses.size), host.data());
  for (std::int64_t i = 0; i < losses.size; ++i) see(i, host[static_cast<std::size_t>(i)]);
}

}  // namespace

TrainingWork::TrainingWork(Trainer& trainer, const StepReport& report,
                           const Trainer::Sample& sample)
    : trainer_(trainer),
      report_(report),
      sample_(sample),
      first_(static_cast<std::uint64_t>(trainer.timeline_.samples_before(report.step - 1))) {}

void TrainingWork::load(const Unit& unit, BatchLayout& batch, std::span<std::int32_t> tokens) {
  const Timers::Scope time(trainer_.timers_, trainer_.part_.data);
  const std::int64_t index = unit.micro;
  batch.assign(trainer_.layout_.deals[static_cast<std::size_t>(unit.chunk)], index,
               trainer_.micro_);
  if (tokens.empty()) return;
  const auto window = static_cast<std::size_t>(trainer_.deck_.batch.length + 1);
  for (std::size_t s = 0; s < batch.global().size(); ++s) {
    sample_(first_ + static_cast<std::uint64_t>(batch.global()[s]),
            tokens.subspan(s * window, window));
  }
}

void TrainingWork::forwarded(const ModelUnit& unit, const BatchLayout& batch) {
  fence(trainer_.pass_.exec, "moray::trainer: losses to the host");
  if (trainer_.layout_.chunks[static_cast<std::size_t>(unit.chunk)].head)
    add_token_losses(unit, batch);
  if (trainer_.deck_.model.moe.sequence_loss > 0) add_balance_losses(unit);
}

void TrainingWork::gradients_complete(int chunk) {
  // A probe looks at lanes before they are folded.
  if (chunk != trainer_.early_chunk_ || trainer_.pass_.probe != nullptr) return;
  const Timers::Scope time(trainer_.timers_, trainer_.part_.reduce);
  for (const Region region : {static_cast<Region>(2 * chunk), static_cast<Region>(2 * chunk + 1)}) {
    trainer_.reducers_[static_cast<std::size_t>(region)].start(
        trainer_.pass_.exec, trainer_.model_.parameters().gradients(region),
        trainer_.shards_[region]);
  }
}

void TrainingWork::add_token_losses(const ModelUnit& unit, const BatchLayout& batch) {
  const Model<float>& model = trainer_.model_;
  const bool stop = trainer_.deck_.optimizer.non_finite == "stop";
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    for (std::int64_t use = 0; use <= model.depth(); ++use) {
      visit(trainer_.host_losses_, model.losses(s, use, unit), [&](std::int64_t i, float loss) {
        if (!std::isfinite(loss) && stop && !trainer_.pass_.error) {
          trainer_.pass_.error =
              Error(ExitCode::numerics,
                    fmt::format("step {}: the loss of position {} of sequence {} is not finite",
                                report_.step, i, batch.global()[static_cast<std::size_t>(s)]));
        }
        trainer_.use_losses_[static_cast<std::size_t>(use)].add(static_cast<double>(loss));
      });
    }
  }
}

void TrainingWork::add_balance_losses(const ModelUnit& unit) {
  const Model<float>& model = trainer_.model_;
  for (std::size_t layer = 0; layer < model.moe_layers().size(); ++layer) {
    visit(trainer_.host_losses_, model.balance_losses(static_cast<std::int64_t>(layer), unit),
          [&](std::int64_t, float loss) { trainer_.balance_.add(static_cast<double>(loss)); });
  }
}

void ValidationWork::load(const Unit& unit, BatchLayout& batch, std::span<std::int32_t> tokens) {
  // One lane a rank: there are no gradients.
  Deal deal = trainer_.layout_.deals[static_cast<std::size_t>(unit.chunk)];
  deal.lanes = deal.data_ranks;
  deal.expert_lanes = deal.replicas();
  batch.assign(deal, 0, trainer_.micro_);
  loaded_ = (unit.micro * deal.data_ranks + deal.rank) * trainer_.micro_;
  if (tokens.empty()) return;
  const auto length = static_cast<std::size_t>(trainer_.deck_.batch.length + 1);
  for (std::int64_t s = 0; s < trainer_.micro_; ++s) {
    // Rows behind the last window repeat it and are not counted.
    const auto w = static_cast<std::uint64_t>(std::min(loaded_ + s, count_ - 1));
    window_(w, tokens.subspan(static_cast<std::size_t>(s) * length, length));
  }
}

void ValidationWork::forwarded(const ModelUnit& unit, const BatchLayout&) {
  if (!trainer_.layout_.chunks[static_cast<std::size_t>(unit.chunk)].head) return;
  fence(trainer_.pass_.exec, "moray::trainer: validation losses to the host");
  // A schedule of forwards has one unit in the hand at a time.
  for (std::int64_t s = 0; s < trainer_.micro_ && loaded_ + s < count_; ++s) {
    visit(trainer_.host_losses_, trainer_.model_.losses(s, 0, unit),
          [&](std::int64_t, float loss) { total.add(static_cast<double>(loss)); });
  }
}

}  // namespace moray
