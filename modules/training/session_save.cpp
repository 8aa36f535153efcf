// The saves of a run: at once, or begun and completed between steps and written behind them.
#include "core/log.hpp"
#include "core/no_space.hpp"
#include "io/checkpoint_layout.hpp"
#include "training/run_metrics.hpp"
#include "training/session.hpp"

namespace moray {
namespace {
constexpr double kMeetSeconds = 2;  // ranks that fail together do so within this
}

CheckpointContent TrainingSession::checkpoint_content(std::int64_t step) const {
  CheckpointContent content;
  content.step = step;
  const std::int64_t samples = trainer_.timeline().samples_before(step);
  content.attributes = {{"samples", samples},
                        {"tokens", samples * deck_.batch.length},
                        {"seed", static_cast<std::int64_t>(deck_.run.seed)}};
  content.texts = {{"resolved_deck", request_.reading.resolved},
                   {"data_digests", data_digests_},
                   {"build", build_text()}};
  return content;
}

Saver::Place TrainingSession::checkpoint_place() const {
  return {folder_path_ + "/checkpoints", utc_compact()};
}

std::vector<StateTensor> TrainingSession::owned() {
  return owned_state(trainer_.model(), trainer_.optimizer(), saved_gates(), fp8_);
}

/// Saves the state after step_ steps, unless that has been done. No save may be under way.
void TrainingSession::save() {
  if (saved_ == step_) return;
  std::optional<Timers::Scope> time(std::in_place, trainer_.timers(), part_.checkpoint);
  const double begin = stop_->elapsed();
  agree(collective_, [&] {
    if (root()) lock_->require_owned();
  });
  const std::string path = saver_.save(checkpoint_place(), owned(), checkpoint_content(step_));
  last_save_at_ = stop_->elapsed();
  last_save_seconds_ = last_save_at_ - begin;
  time.reset();
  record_save(path, step_, last_save_seconds_);
}

/// Copies the state after step_ steps; the steps that follow go on beside its write.
void TrainingSession::begin_save() {
  const Timers::Scope time(trainer_.timers(), part_.checkpoint);
  const double begin = stop_->elapsed();
  agree(collective_, [&] {
    if (root()) lock_->require_owned();
  });
  saver_.begin(checkpoint_place(), owned(), checkpoint_content(step_));
  last_save_at_ = stop_->elapsed();
  begin_seconds_ = last_save_at_ - begin;
}

/// Gives the save under way, if there is one, its name; waits until all ranks have written it.
void TrainingSession::complete_save() {
  if (!saver_.under_way()) return;
  std::string path;
  const double begin = stop_->elapsed();
  try {
    const Timers::Scope time(trainer_.timers(), part_.checkpoint);
    agree(collective_, [&] {
      if (root()) lock_->require_owned();
    });
    path = saver_.commit();
  } catch (const NoSpace& error) {
    missed_save(saver_.step(), error.what());
    return;
  }
  const double waited = begin_seconds_ + stop_->elapsed() - begin;
  last_save_seconds_ = waited + saver_.background_seconds();
  record_save(path, saver_.step(), waited);
}

/// The run ends, by values that are not finite: the checkpoint that is on its way is worth having.
/// All ranks found that out together, or one is alone and nobody waits for the others.
void TrainingSession::complete_save_of_failed_run() noexcept {
  try {
    if (saver_.under_way() && ranks_.meet(kMeetSeconds)) complete_save();
  } catch (const std::exception& error) {
    Log::global().warn("the save of step {} is lost: {}", saver_.step(), error.what());
  }
}

/// A save that is not the last may fail for lack of space: what a full disk would cost is the run,
/// what going on costs is at most the work until the next save.
void TrainingSession::save_if_room() {
  complete_save();
  if (saved_ == step_) return;
  try {
    if (saver_.behind()) {
      begin_save();
    } else {
      save();
    }
  } catch (const NoSpace& error) {
    last_save_at_ = stop_->elapsed();
    missed_save(step_, error.what());
  }
}

/// The checkpoint of a step is there, and steps waited so many seconds for it.
void TrainingSession::record_save(const std::string& path, std::int64_t step, double waited) {
  saved_ = step;
  agree(collective_, [&] {
    if (!root()) return;
    try {
      metrics_->close_segment(step);
      if (fp8_metrics_) fp8_metrics_->close_segment(step);
    } catch (const NoSpace& error) {
      Log::global().warn("{}; these rows of metrics go with the next checkpoint", error.what());
    }
    const std::int64_t every = trainer_.timeline().steps(deck_.checkpoint.keep_every);
    apply_retention(folder_->checkpoints(), {deck_.checkpoint.keep_last, every}, verified_);
  });
  write_profile();
  const double behind = last_save_seconds_ - waited;
  Log::global().info("checkpoint {} in {:.2f} s{}", path, last_save_seconds_,
                     behind > 0 ? fmt::format(", {:.2f} s of them behind steps", behind) : "");
}

void TrainingSession::missed_save(std::int64_t step, const std::string& reason) {
  if (!root()) return;
  CheckpointContent content = checkpoint_content(step);
  for (const StateTensor& tensor : owned()) content.datasets.push_back(tensor.spec);
  Log::global().warn(
      "NO CHECKPOINT at step {}: {} (needed: {} bytes, free: {}); training goes on, the next save "
      "tries again, {}",
      step, reason, expected_bytes(content), free_bytes(folder_path_),
      saved_ < 0 ? "there is no checkpoint yet"
                 : fmt::format("the newest checkpoint is that of step {}", saved_));
}

}  // namespace moray
