// What a run prints: banner, a line a step, samples, the end.
#include <algorithm>
#include <cmath>

#include "core/build_info.hpp"
#include "core/log.hpp"
#include "core/no_space.hpp"
#include "inference/generate.hpp"
#include "training/run_metrics.hpp"
#include "training/samples.hpp"
#include "training/session.hpp"

namespace moray {
namespace {

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (s >= 3600) return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} s", s);
}

/// What of the parallel section was chosen: "layout   pipeline 4, data 2, expert 2, ...".
std::string layout_line(const Trainer& trainer, const ParallelConfig& wanted) {
  const Mesh& mesh = trainer.mesh();
  const RankLayout& layout = trainer.layout();
  const std::int64_t node_ranks = mesh.node_ranks();
  const std::string nodes = wanted.nodes > 0  ? fmt::format("{}", wanted.nodes)
                            : node_ranks == 0 ? std::string("of unequal numbers of ranks")
                                              : fmt::format("of {} ranks", node_ranks);
  std::string line =
      fmt::format("layout   pipeline {}, data {}, expert {}, nodes {}", mesh.shape().pipeline,
                  mesh.shape().data, mesh.shape().expert, nodes);
  if (layout.pipeline.ranks > 1) {
    line += fmt::format(", schedule {}, stages {}, chunks {}", schedule_name(layout.pipeline.kind),
                        to_text(layout.stages), layout.pipeline.chunks());
  }
  if (!layout.share.whole())
    line += fmt::format(", traffic {}", layout.share.two_hops ? "two_hop" : "flat");
  return line;
}

}  // namespace

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
  if (ranks_.size() > 1) log.info("{}", layout_line(trainer_, deck_.parallel));
  const Mesh& mesh = trainer_.mesh();
  if (const std::string problem = two_hop_problem(mesh.shape(), mesh.node_ranks());
      root() && deck_.parallel.traffic == "two_hop" && !problem.empty()) {
    log.warn(
        "traffic: two_hop needs an expert group that spans nodes of a power of two of ranks, but "
        "{}: it runs flat",
        problem);
  }
  const PrecisionConfig& precision = deck_.model.precision;
  if (root() && deck_.run.determinism == "run" && precision.compute == "fp8" &&
      precision.scales == "float32") {
    log.warn(
        "run.determinism run: products in FP8 stay those of exact runs, as a vendor's take "
        "precision.scales = power_of_two only");
  }
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

void TrainingSession::print_sample(std::int64_t step) {
  if (!sampler_) return;
  const Timers::Scope time(trainer_.timers(), part_.sample);
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

/// Means over the steps so far, of all ranks.
std::vector<RunProfile::Sent> TrainingSession::sent_in_a_step() const {
  std::array<std::int64_t, 2 * kLinkNames.size()> sums;
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    sums[2 * kind] = sent_.kinds[kind].inside;
    sums[2 * kind + 1] = sent_.kinds[kind].across;
  }
  auto most = sums;
  ranks_.sum(sums);
  ranks_.maximum(std::span<std::int64_t>(most));
  const auto steps = static_cast<double>(std::max<std::int64_t>(step_ - first_step_, 1));
  const auto mean = [&](std::int64_t sum) {
    return static_cast<double>(sum) / steps / static_cast<double>(ranks_.size());
  };
  std::vector<RunProfile::Sent> sent;
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    const std::size_t inside = 2 * kind, across = inside + 1;
    if (sums[inside] + sums[across] == 0) continue;
    sent.push_back({std::string(kLinkNames[kind]), mean(sums[inside]),
                    static_cast<double>(most[inside]) / steps, mean(sums[across]),
                    static_cast<double>(most[across]) / steps});
  }
  return sent;
}

/// Over the steps so far, of all ranks and their MoE layers.
RunProfile::TokenCopies TrainingSession::copies_of_a_token() const {
  std::array<std::int64_t, 3> sums = {fan_out_.tokens, fan_out_.copies.across,
                                      fan_out_.copies.inside};
  ranks_.sum(sums);
  if (sums[0] == 0) return {};
  const auto tokens = static_cast<double>(sums[0]);
  const auto steps = static_cast<double>(step_ - first_step_);
  return {tokens / steps, static_cast<double>(sums[1]) / tokens,
          static_cast<double>(sums[2]) / tokens};
}

/// Time, memory and messages of all ranks; kernels of this one.
RunProfile TrainingSession::profile() {
  const auto& parts = trainer_.timers().parts();
  std::vector<double> slowest;
  for (const Timers::Part& part : parts) slowest.push_back(part.seconds);
  std::vector<double> mean = slowest;
  ranks_.maximum(std::span(slowest));
  ranks_.sum_any_order(std::span(mean));
  std::array<std::int64_t, 2 + kMemoryNames.size()> bytes = {started_bytes_, peak_resident_bytes()};
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i)
    bytes[2 + i] = arena_.bytes(static_cast<Memory>(i));
  ranks_.maximum(std::span<std::int64_t>(bytes));

  RunProfile result;
  result.ranks = ranks_.size();
  result.threads = HostExecSpace().concurrency();
  result.first_step = first_step_;
  result.last_step = step_;
  result.seconds = stop_->elapsed();
  for (std::size_t i = 0; i < parts.size(); ++i)
    result.parts.push_back({parts[i].name, parts[i].calls, slowest[i], mean[i] / ranks_.size()});
  result.kernels = kernel_times_.kernels();
  result.sent = sent_in_a_step();
  result.copies = copies_of_a_token();
  result.started = bytes[0];
  result.peak = bytes[1];
  std::copy(bytes.begin() + 2, bytes.end(), result.arena.begin());
  return result;
}

void TrainingSession::write_profile() {
  const RunProfile now = profile();
  agree(collective_, [&] {
    if (!root()) return;
    try {
      write_run_profile(folder_path_, now);
    } catch (const NoSpace& error) {
      Log::global().warn("{}; the profile is that of the last time there was room", error.what());
    }
  });
}

/// Where the time went and what was sent, over all ranks.
void TrainingSession::print_timers() {
  const RunProfile now = profile();
  std::vector<double> slowest, mean;
  for (const RunProfile::Part& part : now.parts) {
    slowest.push_back(part.slowest);
    mean.push_back(part.mean);
  }
  for (const std::string& line : timer_table(trainer_.timers(), slowest, mean, now.seconds)) {
    Log::global().info("{}", line);
  }
  if (now.sent.empty()) return;
  Log::global().info("{:<24} {:>20} {:>31}", "MB sent in a step", "to ranks of its node",
                     "to other nodes");
  Log::global().info("{:<24} {:>9} {:>10} {:>20} {:>10}", "", "mean", "most", "mean", "most");
  for (const RunProfile::Sent& kind : now.sent) {
    std::string name = "  " + kind.name;
    std::replace(name.begin(), name.end(), '_', ' ');
    Log::global().info("{:<24} {:>9.3f} {:>10.3f} {:>20.3f} {:>10.3f}", name,
                       kind.inside_mean / 1e6, kind.inside_most / 1e6, kind.across_mean / 1e6,
                       kind.across_most / 1e6);
  }
  if (now.copies.tokens > 0)
    Log::global().info(
        "copies of a token in a layer: {:.2f} to other nodes, {:.2f} to other ranks of a node",
        now.copies.across, now.copies.inside);
}

/// What was done, where it lies, and how to go on.
void TrainingSession::print_end(ExitCode code) {
  print_timers();
  if (timeline_ && timeline_->waits())
    for (const std::string& line : timeline_table(*timeline_)) Log::global().info("{}", line);
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

}  // namespace moray
