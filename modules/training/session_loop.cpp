// The loop of a run: steps, and what is due between them.
#include <cmath>
#include <limits>

#include "core/log.hpp"
#include "core/no_space.hpp"
#include "io/checkpoint_layout.hpp"
#include "training/run_metrics.hpp"
#include "training/samples.hpp"
#include "training/session.hpp"
#include "training/state.hpp"

namespace moray {

ExitCode TrainingSession::run() {
  const Timeline& timeline = trainer_.timeline();
  const auto sample = [&](std::uint64_t g, std::span<std::int32_t> tokens) {
    data_.sample(g, tokens);
  };
  ExitCode code = ExitCode::done;
  while (step_ < timeline.total()) {
    const double begin = stop_->elapsed();
    const StepReport report = trainer_.step(step_, sample);
    const double seconds = stop_->elapsed() - begin;
    mean_step_seconds_ =
        mean_step_seconds_ == 0 ? seconds : 0.95 * mean_step_seconds_ + 0.05 * seconds;
    ++step_;
    after_step(report, seconds);
    const StopReason reason = agree_to_stop(seconds);
    std::int64_t minutes_due =
        deck_.checkpoint.every_minutes > 0 &&
        stop_->elapsed() - last_save_at_ >= 60 * deck_.checkpoint.every_minutes;
    if (deck_.checkpoint.every_minutes > 0 && ranks_.size() > 1)
      ranks_.maximum(std::span(&minutes_due, 1));
    if (reason == StopReason::signal || reason == StopReason::time_limit) {
      if (step_ < timeline.total()) code = ExitCode::resubmit;
      Log::global().info("stopped by {} after step {}",
                         reason == StopReason::signal ? "a signal" : "the time limit", step_);
      break;
    }
    const bool due = timeline.due(deck_.checkpoint.every, step_ - 1) || minutes_due != 0 ||
                     reason == StopReason::save;
    if (due && step_ < timeline.total()) save_if_room();
  }
  finish(code);
  return code;
}

void TrainingSession::after_step(const StepReport& report, double seconds) {
  const Timeline& timeline = trainer_.timeline();
  const std::int64_t step = report.step - 1;
  const bool last = report.step == timeline.total();
  double validation = std::numeric_limits<double>::quiet_NaN();
  if (timeline.due(deck_.validation.every, step) || last) validation = validate();
  const bool logged = report.step % deck_.output.log_every == 0 || last ||
                      report.step == first_step_ + 1 || !std::isnan(validation);
  if (logged) {
    agree(collective_, [&] {
      if (!root()) return;
      lock_->require_owned();
      print_step(report, seconds, validation);
      MetricRow row = metrics_->row();
      const std::int64_t samples = timeline.samples_before(report.step);
      fill_row(row, report, {seconds, samples, samples * deck_.batch.length}, validation,
               trainer_.model());
      metrics_->append(row);
    });
  }
  if (deck_.samples.tokens > 0 && (timeline.due(deck_.samples.every, step) || last))
    print_sample(report.step);
}

StopReason TrainingSession::agree_to_stop(double seconds) {
  std::int64_t reason = static_cast<std::int64_t>(stop_->poll(seconds, last_save_seconds_));
  if (ranks_.size() > 1) ranks_.maximum(std::span(&reason, 1));
  return static_cast<StopReason>(reason);
}

double TrainingSession::validate() {
  const auto all = static_cast<std::int64_t>(data_.validation_windows());
  const std::int64_t count =
      deck_.validation.windows > 0 ? std::min(all, deck_.validation.windows) : all;
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  const Timers::Scope time(trainer_.timers(), part_.validation);
  return trainer_
      .evaluate(count, [&](std::uint64_t i,
                           std::span<std::int32_t> tokens) { data_.validation_window(i, tokens); })
      .loss;
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

/// Saves the state after step_ steps, unless that has been done.
void TrainingSession::save() {
  if (saved_ == step_) return;
  std::optional<Timers::Scope> time(std::in_place, trainer_.timers(), part_.checkpoint);
  const double begin = stop_->elapsed();
  agree(collective_, [&] {
    if (root()) lock_->require_owned();
  });
  const std::string path = save_state(collective_, folder_path_ + "/checkpoints", utc_compact(),
                                      owned_state(trainer_.model(), trainer_.optimizer(), root()),
                                      checkpoint_content(step_));
  saved_ = step_;
  agree(collective_, [&] {
    if (!root()) return;
    try {
      metrics_->close_segment();
    } catch (const NoSpace& error) {
      Log::global().warn("{}; these rows of metrics go with the next checkpoint", error.what());
    }
    const std::int64_t every = trainer_.timeline().steps(deck_.checkpoint.keep_every);
    apply_retention(folder_->checkpoints(), {deck_.checkpoint.keep_last, every}, verified_);
  });
  last_save_at_ = stop_->elapsed();
  last_save_seconds_ = last_save_at_ - begin;
  time.reset();
  write_profile();
  Log::global().info("checkpoint {} in {:.2f} s", path, last_save_seconds_);
}

/// A save that is not the last may fail for lack of space: what a full disk would cost is the run,
/// what going on costs is at most the work until the next save.
void TrainingSession::save_if_room() {
  try {
    save();
  } catch (const NoSpace& error) {
    last_save_at_ = stop_->elapsed();
    if (!root()) return;
    CheckpointContent content = checkpoint_content(step_);
    for (const StateTensor& tensor : owned_state(trainer_.model(), trainer_.optimizer(), root()))
      content.datasets.push_back(tensor.spec);
    Log::global().warn(
        "NO CHECKPOINT at step {}: {} (needed: {} bytes, free: {}); training goes on, the next "
        "save tries again, {}",
        step_, error.what(), expected_bytes(content), free_bytes(folder_path_),
        saved_ < 0 ? "there is no checkpoint yet"
                   : fmt::format("the newest checkpoint is that of step {}", saved_));
  }
}

void TrainingSession::finish(ExitCode code) {
  save();
  write_profile();
  agree(collective_, [&] {
    if (!root()) return;
    metrics_->close_segment();
    join_metrics(folder_path_);
    folder_->write_status(code == ExitCode::done ? "done" : "stopped");
  });
  print_end(code);
}

void TrainingSession::failed(const std::string& reason) const noexcept {
  try {
    if (root() && recorded_ && lock_->owned()) folder_->write_status("failed: " + reason);
  } catch (const std::exception&) {
    // The reason itself is on its way to the user; a full disk must not hide it.
  }
}

}  // namespace moray
