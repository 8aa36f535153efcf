#include "training/session.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/build_info.hpp"
#include "core/log.hpp"
#include "inference/generate.hpp"
#include "training/run_metrics.hpp"
#include "training/samples.hpp"
#include "training/state.hpp"

namespace moray {
namespace {

DataShape data_shape(const TrainRequest& request) {
  const Deck& deck = request.reading.deck;
  const std::size_t slash = request.deck_path.rfind('/');
  return {deck.run.seed, deck.batch.length, deck.model.model.vocabulary,
          slash == std::string::npos ? "." : request.deck_path.substr(0, slash)};
}

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

std::string digests_text(const std::vector<FileDigest>& digests) {
  std::string text;
  for (const FileDigest& d : digests)
    text += fmt::format("{}  {}  {}\n", d.xxh3_128, d.bytes, d.path);
  return text;
}

/// Without the paths: a corpus may move, its bytes may not change.
std::string digests_only(const std::string& text) {
  std::string result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    const std::size_t first = line.find("  ");
    result += line.substr(0, line.find("  ", first + 2)) + "\n";
    begin = end + 1;
  }
  return result;
}

}  // namespace

TrainingSession::TrainingSession(const TrainRequest& request, const Communicator& ranks)
    : request_(request),
      ranks_(ranks),
      collective_(ranks),
      deck_(request.reading.deck),
      trainer_(deck_, ranks),
      data_(deck_.data, data_shape(request)) {
  const auto needed =
      static_cast<std::uint64_t>(trainer_.timeline().samples_before(trainer_.timeline().total()));
  if (data_.samples() < needed) {
    fail(ExitCode::usage,
         "{}: the run reads {} sequences, but the sources give {} before each reaches its "
         "max_epochs",
         request.deck_path, needed, data_.samples());
  }
  prepare_memory();
  std::string digests;
  agree(collective_, [&] {
    if (root()) digests = digests_text(data_.digests());
  });
  data_digests_ = ranks_.broadcast(digests, 0);
  open_folder();
  start_weights();
  banner();
}

void TrainingSession::prepare_memory() {
  if (root()) sampler_ = make_sample_decoder(deck_);
  const auto allocate = [&](Arena& arena) {
    trainer_.allocate(arena);
    if (sampler_) sampler_->allocate(arena, &trainer_.model());
  };
  Arena plan;
  allocate(plan);
  arena_.reserve(plan);
  allocate(arena_);
  if (sampler_) sampler_->start();
}

void TrainingSession::open_folder() {
  agree(collective_, [&] {
    if (!root()) return;
    const bool goes_on =
        request_.resume == "auto" && !request_.out.empty() && RunFolder::holds_run(request_.out);
    folder_ =
        goes_on ? RunFolder::open(request_.out) : RunFolder::create(request_.out, deck_.run.name);
    lock_ = std::make_unique<RunLock>(folder_->path());
    folder_->record_start(request_.reading.text, request_.reading.resolved);
    folder_->write_status("running");
    remove_leftovers(folder_->checkpoints());
    Log::global().open(folder_->log());
  });
  folder_path_ = ranks_.broadcast(root() ? folder_->path() : std::string(), 0);
  stop_ = std::make_unique<StopWatch>(request_.time_limit, root() ? folder_path_ : std::string());
}

std::optional<Checkpoint> TrainingSession::find_checkpoint() {
  if (request_.resume == "none") return std::nullopt;
  if (request_.resume == "auto") return open_newest(collective_, folder_path_ + "/checkpoints");
  return open_verified(collective_, resolve_checkpoint(request_.resume));
}

void TrainingSession::start_weights() {
  if (const std::optional<Checkpoint> checkpoint = find_checkpoint()) {
    resume_from(*checkpoint);
  } else {
    trainer_.initialize();
    if (!deck_.init.from.empty()) {
      const Checkpoint from = open_verified(collective_, resolve_checkpoint(deck_.init.from));
      load_state(from, model_state(trainer_.model()));
      trainer_.optimizer().start_ema(trainer_.pass().exec, trainer_.model().parameters());
      Log::global().info("weights and routing bias from {}", from.path());
    }
  }
  first_step_ = step_;
  agree(collective_, [&] {
    if (!root()) return;
    if (step_ > 0) supersede_after(folder_->checkpoints(), step_);
    const auto layers = static_cast<std::int64_t>(trainer_.model().moe_layers().size());
    metrics_ =
        std::make_unique<MetricsWriter>(folder_path_, metric_schema(deck_.model, layers), step_);
  });
}

void TrainingSession::resume_from(const Checkpoint& checkpoint) {
  require_resumable(checkpoint.text("resolved_deck"), request_.reading.resolved);
  if (digests_only(checkpoint.text("data_digests")) != digests_only(data_digests_)) {
    fail(ExitCode::usage,
         "{}: the data files are not those that the run was trained on until step {}; to train on "
         "others, start a "
         "new run with `init: {{from: {}}}`",
         request_.deck_path, checkpoint.step(), checkpoint.path());
  }
  load_state(checkpoint, model_state(trainer_.model()));
  load_state(checkpoint, optimizer_state(trainer_.model(), trainer_.optimizer()));
  trainer_.model().fill_rotary_table();
  step_ = checkpoint.step();
  saved_ = step_;
  verified_ = step_;
  if (trainer_.timeline().samples_before(step_) != checkpoint.integer("samples")) {
    fail(ExitCode::usage,
         "{}: the batch schedule of the deck gives {} sequences before step {}, the checkpoint has "
         "{}",
         request_.deck_path, trainer_.timeline().samples_before(step_), step_,
         checkpoint.integer("samples"));
  }
  Log::global().info("resumed at step {} from {}", step_, checkpoint.path());
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

void TrainingSession::save(std::int64_t step) {
  if (saved_ == step) return;
  const double begin = stop_->elapsed();
  if (root()) lock_->require_owned();
  std::vector<StateTensor> tensors = model_state(trainer_.model());
  const std::vector<StateTensor> more = optimizer_state(trainer_.model(), trainer_.optimizer());
  tensors.insert(tensors.end(), more.begin(), more.end());
  const std::string path = save_state(collective_, folder_path_ + "/checkpoints", utc_compact(),
                                      tensors, checkpoint_content(step));
  saved_ = step;
  agree(collective_, [&] {
    if (!root()) return;
    metrics_->close_segment();
    const std::int64_t every = trainer_.timeline().steps(deck_.checkpoint.keep_every);
    apply_retention(folder_->checkpoints(), {deck_.checkpoint.keep_last, every}, verified_);
  });
  last_save_at_ = stop_->elapsed();
  last_save_seconds_ = last_save_at_ - begin;
  Log::global().info("checkpoint {} in {:.2f} s", path, last_save_seconds_);
}

double TrainingSession::validate() {
  const auto all = static_cast<std::int64_t>(data_.validation_windows());
  const std::int64_t count =
      deck_.validation.windows > 0 ? std::min(all, deck_.validation.windows) : all;
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  return trainer_
      .evaluate(count, [&](std::uint64_t i,
                           std::span<std::int32_t> tokens) { data_.validation_window(i, tokens); })
      .loss;
}

void TrainingSession::print_sample(std::int64_t step) {
  if (!sampler_) return;
  std::vector<std::int32_t> tokens = data_.tokenizer().encode(deck_.samples.prompt);
  if (tokens.empty()) tokens.push_back(data_.tokenizer().special().eos);
  std::vector<std::int32_t> made;
  generate(*sampler_, trainer_.pass(),
           {.temperature = deck_.samples.temperature,
            .seed = deck_.run.seed + static_cast<std::uint64_t>(step)},
           deck_.samples.tokens, std::span(&tokens, 1), [&](std::int64_t, std::int32_t token) {
             made.push_back(token);
             return true;
           });
  Log::global().info("sample at step {}: {}{}", step, deck_.samples.prompt,
                     data_.tokenizer().decode(made));
}

void TrainingSession::print_step(const StepReport& report, double seconds,
                                 double validation) const {
  const std::int64_t total = trainer_.timeline().total();
  const double tokens = static_cast<double>(report.sequences * deck_.batch.length);
  std::string line = fmt::format(
      "step {:>7}/{} | loss {:7.4f} | gnorm {:8.4f} | lr {:.3e} | {:8.1f} ms | {:9.0f} tok/s",
      report.step, total, report.loss, report.norm.value, report.learning_rate, 1e3 * seconds,
      tokens / std::max(seconds, 1e-9));
  for (const double loss : report.mtp) line += fmt::format(" | mtp {:7.4f}", loss);
  const std::int64_t layers = trainer_.model().trunk_moe_layers();
  if (layers > 0) line += fmt::format(" | maxvio {:6.3f}", mean_violation(report, layers));
  if (!std::isnan(validation)) line += fmt::format(" | val {:7.4f}", validation);
  if (report.skipped) line += " | SKIPPED";
  line += fmt::format(" | eta {}",
                      duration(mean_step_seconds_ * static_cast<double>(total - report.step)));
  Log::global().info("{}", line);
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
    if (timeline.due(deck_.checkpoint.every, step_ - 1) || minutes_due != 0 ||
        reason != StopReason::none)
      save(step_);
    if (reason == StopReason::signal || reason == StopReason::time_limit) {
      if (step_ < timeline.total()) code = ExitCode::resubmit;
      Log::global().info("stopped by {} after step {}",
                         reason == StopReason::signal ? "a signal" : "the time limit", step_);
      break;
    }
  }
  finish(code);
  return code;
}

/// Where the time went, over all ranks.
void TrainingSession::print_timers() {
  const auto& parts = trainer_.timers().parts();
  std::vector<double> slowest;
  for (const Timers::Part& part : parts) slowest.push_back(part.seconds);
  std::vector<double> mean = slowest;
  ranks_.maximum(std::span(slowest));
  ranks_.sum_any_order(std::span(mean));
  for (double& seconds : mean) seconds /= ranks_.size();
  for (const std::string& line : timer_table(trainer_.timers(), slowest, mean, stop_->elapsed())) {
    Log::global().info("{}", line);
  }
}

void TrainingSession::finish(ExitCode code) {
  save(step_);
  print_timers();
  agree(collective_, [&] {
    if (!root()) return;
    metrics_->close_segment();
    join_metrics(folder_path_);
    folder_->write_status(code == ExitCode::done ? "done" : "stopped");
  });
  const std::string checkpoint = folder_path_ + "/checkpoints/" + checkpoint_name(step_);
  if (code == ExitCode::done) {
    Log::global().info("done: {} steps in {}; the model is {}", step_, duration(stop_->elapsed()),
                       checkpoint);
    Log::global().info(
        "go on:  ./moray generate {} --prompt \"The \"      more steps:  ./moray train {} --out {} "
        "--resume auto run.length={}",
        checkpoint, request_.deck_path, folder_path_, 2 * step_);
  } else {
    Log::global().info("go on:  ./moray train {} --out {} --resume auto", request_.deck_path,
                       folder_path_);
  }
  for (const Log::Warning& w : Log::global().warnings()) {
    if (w.count > 1) Log::global().info("warning, {} times: {}", w.count, w.text);
  }
}

void TrainingSession::failed(const std::string& reason) const noexcept {
  try {
    if (root() && lock_->owned()) folder_->write_status("failed: " + reason);
  } catch (const std::exception&) {
    // The reason itself is on its way to the user; a full disk must not hide it.
  }
}

void TrainingSession::banner() const {
  const BuildInfo build = build_info();
  const Parameters<float>& parameters = trainer_.model().parameters();
  std::int64_t total = 0;
  for (const Parameter& p : parameters.list()) total += p.elements();
  Log& log = Log::global();
  log.info("moray {} ({}), {}, Kokkos {} {}, {} rank{} x {} thread{}", build.version,
           build.git_hash, build.compiler, build.kokkos, ExecSpace::name(), ranks_.size(),
           ranks_.size() == 1 ? "" : "s", HostExecSpace().concurrency(),
           HostExecSpace().concurrency() == 1 ? "" : "s");
  log.info("run      {}, deck {}, seed {}, determinism {}", folder_path_, request_.deck_path,
           deck_.run.seed, deck_.run.determinism);
  log.info(
      "model    {} parameters in {} tensors, {} layers of width {}, {} MoE layers of {} experts",
      total, parameters.list().size(), deck_.model.model.layers, deck_.model.model.width,
      trainer_.model().trunk_moe_layers(), deck_.model.moe.experts);
  std::string memory = "memory  ";
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i) {
    memory += fmt::format(" {} {:.1f}", kMemoryNames[i],
                          static_cast<double>(arena_.bytes(static_cast<Memory>(i))) / 1048576);
  }
  log.info("{} MiB a rank", memory);
  for (const TrainingData::Summary& s : data_.summaries()) {
    log.info("data     {}: {} file{}, {} tokens in {} windows, {} for validation", s.place, s.files,
             s.files == 1 ? "" : "s", s.tokens, s.windows, s.validation_windows);
  }
  log.info("steps    {} of {} sequences x {} positions, micro-batches of {}",
           trainer_.timeline().total(), deck_.batch.sequences, deck_.batch.length,
           trainer_.micro());
}

/// What a deck may say and this version cannot run; named before anything is made.
void refuse_layouts(const TrainRequest& request, const Communicator& ranks) {
  const Deck& deck = request.reading.deck;
  if (deck.parallel.pipeline > 1 || deck.parallel.expert > 1) {
    fail(ExitCode::usage,
         "{}: parallel.pipeline = {} and parallel.expert = {}: training runs on data-parallel "
         "ranks only; set both to 1",
         request.deck_path, deck.parallel.pipeline, deck.parallel.expert);
  }
  // Under determinism run no rule of the deck says so; a remainder would not be trained on.
  const std::int64_t share = ranks.size() * std::max<std::int64_t>(deck.batch.micro, 1);
  for (const std::int64_t n :
       {deck.batch.sequences, deck.batch.ramp_from, deck.batch.ramp_multiple}) {
    if (n % share != 0) {
      fail(ExitCode::usage,
           "{}: a step of {} sequences does not divide into {} rank(s) with micro-batches of {}; "
           "change batch.sequences, batch.micro or the ranks",
           request.deck_path, n, ranks.size(), std::max<std::int64_t>(deck.batch.micro, 1));
    }
  }
  if (deck.checkpoint.io != "posix") {
    fail(ExitCode::usage, "{}: checkpoint.io = {}: checkpoints are written with posix calls only",
         request.deck_path, deck.checkpoint.io);
  }
}

ExitCode train(const TrainRequest& request, const Communicator& ranks) {
  refuse_layouts(request, ranks);
  TrainingSession session(request, ranks);
  try {
    return session.run();
  } catch (const Error& error) {
    session.failed(error.what());
    throw;
  }
}

}  // namespace moray
