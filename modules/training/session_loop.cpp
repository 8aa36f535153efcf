// The loop of a run: steps, and what is due between them.
#include <array>
#include <cmath>
#include <limits>

#include "core/log.hpp"
#include "training/fp8_metrics.hpp"
#include "training/run_metrics.hpp"
#include "training/samples.hpp"
#include "training/session.hpp"

namespace moray {

ExitCode TrainingSession::run() {
  try {
    const ExitCode code = steps();
    finish(code);
    return code;
  } catch (const Error& error) {
    if (error.code() == ExitCode::numerics) complete_save_of_failed_run();
    throw;
  }
}

ExitCode TrainingSession::steps() {
  const Timeline& timeline = trainer_.timeline();
  const Trainer::Sample sample = [&](std::uint64_t g, std::span<std::int32_t> tokens) {
    data_.sample(g, tokens);
  };
  ExitCode code = ExitCode::done;
  while (step_ < timeline.total()) {
    const bool traced = trace_due();
    if (traced) begin_trace();
    const double begin = stop_->elapsed();
    const StepReport report = traced ? recorded_step(sample) : trainer_.step(step_, sample);
    const double seconds = stop_->elapsed() - begin;
    sent_ += trainer_.sent();
    fan_out_.add(trainer_.fan_out());
    if (traced) write_trace(report.step);
    mean_step_seconds_ =
        mean_step_seconds_ == 0 ? seconds : 0.95 * mean_step_seconds_ + 0.05 * seconds;
    ++step_;
    after_step(report, seconds);
    const auto [reason, minutes_due, written] = agree_after_step(seconds);
    if (written) complete_save();
    if (reason == StopReason::signal || reason == StopReason::time_limit) {
      if (step_ < timeline.total()) code = ExitCode::resubmit;
      Log::global().info("stopped by {} after step {}",
                         reason == StopReason::signal ? "a signal" : "the time limit", step_);
      break;
    }
    const bool due = timeline.due(deck_.checkpoint.every, step_ - 1) || minutes_due ||
                     reason == StopReason::save;
    if (due && step_ < timeline.total()) save_if_room();
  }
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
  if (!report.fp8.empty()) {
    agree(collective_, [&] {
      if (!root()) return;
      lock_->require_owned();
      MetricRow row = fp8_metrics_->row();
      fp8_metrics::fill(row, report.step, timeline.samples_before(report.step) * deck_.batch.length,
                        report.fp8);
      fp8_metrics_->append(row);
    });
  }
  if (deck_.samples.tokens > 0 && (timeline.due(deck_.samples.every, step) || last))
    print_sample(report.step);
}

/// What the ranks find out each for itself, in one reduction.
TrainingSession::Agreement TrainingSession::agree_after_step(double seconds) {
  const double minutes = deck_.checkpoint.every_minutes;
  std::array<std::int64_t, 3> most = {
      static_cast<std::int64_t>(stop_->poll(seconds, last_save_seconds_)),
      minutes > 0 && stop_->elapsed() - last_save_at_ >= 60 * minutes, !saver_.written()};
  if (ranks_.size() > 1) ranks_.maximum(std::span(most));
  return {static_cast<StopReason>(most[0]), most[1] != 0, most[2] == 0};
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

void TrainingSession::finish(ExitCode code) {
  complete_save();
  save();
  write_profile();
  agree(collective_, [&] {
    if (!root()) return;
    metrics_->close_segment();
    join_metrics(folder_path_);
    if (fp8_metrics_) {
      fp8_metrics_->close_segment();
      join_metrics(fp8_metrics::folder(folder_path_));
    }
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
