#include "training/session.hpp"
#include "training/fp8_metrics.hpp"
#include "training/layout_rules.hpp"

#include <algorithm>

#include "core/log.hpp"
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
      data_(deck_.data, data_shape(request)),
      saver_(collective_, deck_.checkpoint) {
  const auto needed =
      static_cast<std::uint64_t>(trainer_.timeline().samples_before(trainer_.timeline().total()));
  if (data_.samples() < needed) {
    fail(ExitCode::usage,
         "{}: the run reads {} sequences, but the sources give {} before each reaches its "
         "max_epochs",
         request.deck_path, needed, data_.samples());
  }
  Timers& timers = trainer_.timers();
  part_ = {timers.part("validation"), timers.part("samples"), timers.part("checkpoint")};
  prepare_memory();
}

/// Everything that can be wrong is looked at before a folder is made, or before one that is there is
/// written to: what is refused leaves no trace.
void TrainingSession::start() {
  std::string digests;
  agree(collective_, [&] {
    if (root()) digests = digests_text(data_.digests());
  });
  data_digests_ = ranks_.broadcast(digests, 0);
  const bool old = goes_on();
  std::optional<Checkpoint> checkpoint;
  if (!old) checkpoint = find_checkpoint(false);
  open_folder(old);
  if (old) checkpoint = find_checkpoint(true);
  record_start();
  set_state(checkpoint);
  open_metrics();
  banner();
  write_profile();
}

void TrainingSession::prepare_memory() {
  // Ranks that share the experts generate together.
  const ExpertShare& share = trainer_.model().share();
  if (deck_.parallel.pipeline == 1 && (root() || !share.whole()))
    sampler_ = make_sample_decoder(deck_, share);
  const auto allocate = [&](Arena& arena) {
    trainer_.allocate(arena);
    if (sampler_) sampler_->allocate(arena, &trainer_.model());
    fp8_ = allocate_fp8_saving(arena, deck_.checkpoint.fp8_weights, trainer_.model().parameters());
    saver_.set_snapshot(allocate_snapshot(
        arena, deck_.checkpoint,
        owned_bytes(trainer_.model(), trainer_.optimizer(), saved_gates(), fp8_)));
  };
  Arena plan;
  allocate(plan);
  arena_.reserve(plan);
  allocate(arena_);
  if (sampler_) sampler_->start();
}

/// Whether --resume auto finds a run in the folder.
bool TrainingSession::goes_on() {
  const bool found =
      request_.resume == "auto" && !request_.out.empty() && RunFolder::holds_run(request_.out);
  return ranks_.broadcast(found ? "yes" : "no", 0) == "yes";
}

/// Where the state comes from: the run's own newest checkpoint, that of --resume PATH, or, for the
/// weights of a new run, that of init.from.
std::optional<Checkpoint> TrainingSession::find_checkpoint(bool goes_on) {
  std::optional<Checkpoint> checkpoint;
  if (goes_on) {
    checkpoint = open_newest(collective_, folder_path_ + "/checkpoints");
  } else if (request_.resume != "none" && request_.resume != "auto") {
    checkpoint = open_verified(collective_, resolve_checkpoint(request_.resume));
  }
  resumes_ = checkpoint.has_value();
  if (resumes_) {
    require_same_run(*checkpoint);
  } else if (!deck_.init.from.empty()) {
    checkpoint = open_verified(collective_, resolve_checkpoint(deck_.init.from));
  }
  const Fp8Alone fp8_alone = resumes_ ? Fp8Alone::refuse : Fp8Alone::read;
  if (checkpoint) require_state(*checkpoint, model_state(trainer_.model()), fp8_alone);
  if (resumes_) {
    require_state(*checkpoint, optimizer_state(trainer_.model(), trainer_.optimizer()), fp8_alone);
  }
  return checkpoint;
}

void TrainingSession::require_same_run(const Checkpoint& checkpoint) const {
  require_resumable(checkpoint.text("resolved_deck"), request_.reading.resolved, checkpoint.path(),
                    request_.deck_path);
  if (digests_only(checkpoint.text("data_digests")) != digests_only(data_digests_)) {
    fail(ExitCode::usage,
         "{}: the data files are not those that the run was trained on until step {}; to train on "
         "others, start a "
         "new run with `init: {{from: {}}}`",
         request_.deck_path, checkpoint.step(), checkpoint.path());
  }
  const std::int64_t samples = trainer_.timeline().samples_before(checkpoint.step());
  if (samples != checkpoint.integer("samples")) {
    fail(ExitCode::usage,
         "{}: the batch schedule of the deck gives {} sequences before step {}, the checkpoint has "
         "{}",
         request_.deck_path, samples, checkpoint.step(), checkpoint.integer("samples"));
  }
}

void TrainingSession::open_folder(bool goes_on) {
  agree(collective_, [&] {
    if (!root()) return;
    folder_ =
        goes_on ? RunFolder::open(request_.out) : RunFolder::create(request_.out, deck_.run.name);
    lock_ = std::make_unique<RunLock>(folder_->path(),
                                      goes_on ? RunLock::kPatience : std::chrono::seconds(0));
    Log::global().open(folder_->log());
  });
  folder_path_ = ranks_.broadcast(root() ? folder_->path() : std::string(), 0);
}

void TrainingSession::record_start() {
  agree(collective_, [&] {
    if (!root()) return;
    recorded_ = true;
    folder_->record_start(request_.reading.text, request_.reading.resolved);
    folder_->write_status("running");
    remove_leftovers(folder_->checkpoints());
  });
  stop_ = std::make_unique<StopWatch>(request_.time_limit, root() ? folder_path_ : std::string());
}

void TrainingSession::set_state(const std::optional<Checkpoint>& checkpoint) {
  if (!resumes_) trainer_.initialize();
  if (!checkpoint) return;
  load_state(*checkpoint, model_state(trainer_.model()));
  trainer_.weights_changed();
  if (!resumes_) {
    trainer_.optimizer().start_ema(trainer_.pass().exec, trainer_.model().parameters());
    Log::global().info("weights and routing bias from {}", checkpoint->path());
    return;
  }
  load_state(*checkpoint, optimizer_state(trainer_.model(), trainer_.optimizer()));
  trainer_.model().fill_rotary_table();
  step_ = checkpoint->step();
  first_step_ = step_;
  saved_ = step_;
  verified_ = step_;
  Log::global().info("resumed at step {} from {}", step_, checkpoint->path());
}

void TrainingSession::open_metrics() {
  agree(collective_, [&] {
    if (!root()) return;
    if (step_ > 0) supersede_after(folder_->checkpoints(), step_);
    const auto layers = static_cast<std::int64_t>(trainer_.model().moe_layers().size());
    metrics_ =
        std::make_unique<MetricsWriter>(folder_path_, metric_schema(deck_.model, layers), step_);
    if (trainer_.model().statistics().allocated())
      fp8_metrics_ =
          fp8_metrics::open(folder_path_, trainer_.model().parameters().fp8_tensors(), step_);
  });
}

/// What may be asked for and cannot be run; named before anything is made.
static void refuse(const TrainRequest& request) {
  if (request.resume == "auto" && request.out.empty()) {
    fail(ExitCode::usage, "--resume auto goes on with the run in --out DIR: name it");
  }
  const Deck& deck = request.reading.deck;
  // Under determinism run no rule of the deck says so; a remainder would not be trained on.
  const std::int64_t data = copies(deck);
  const std::int64_t share = data * std::max<std::int64_t>(deck.batch.micro, 1);
  for (const std::int64_t n :
       {deck.batch.sequences, deck.batch.ramp_from, deck.batch.ramp_multiple}) {
    if (n % share != 0) {
      fail(ExitCode::usage,
           "{}: a step of {} sequences does not divide into {} data rank(s) with micro-batches of "
           "{}; "
           "change batch.sequences, batch.micro or the ranks",
           request.deck_path, n, data, std::max<std::int64_t>(deck.batch.micro, 1));
    }
  }
}

ExitCode train(const TrainRequest& request, const Communicator& ranks) {
  refuse(request);
  TrainingSession session(request, ranks);
  try {
    session.start();
    return session.run();
  } catch (const Error& error) {
    session.failed(error.what());
    throw;
  }
}

}  // namespace moray
