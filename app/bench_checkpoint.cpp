// moray bench checkpoint: what saving costs a deck's training. Saves beside a raw write of the same
// bytes, and steps that save behind them beside steps that do not.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "bench.hpp"
#include "bench_report.hpp"
#include "comm/mpi_collective.hpp"
#include "core/error.hpp"
#include "io/files.hpp"
#include "runtime.hpp"
#include "training/deck.hpp"
#include "training/fp8_state.hpp"
#include "training/saver.hpp"
#include "training/trainer.hpp"

namespace moray {

namespace {

constexpr const char* kDefaultDeck = "input/bench/checkpoint.yaml";
constexpr int kRounds = 5;
constexpr int kWarmSteps = 2;
constexpr int kOtherSteps = 2;  // of a round, at least: with no save under way
constexpr std::size_t kWriteBytes = std::size_t{8} << 20;  // as the writer of checkpoints does

/// The median and how far the quartiles are apart.
Timing summary(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  return {seconds[n / 2], (seconds[3 * n / 4] - seconds[n / 4]) / 2 / seconds[n / 2],
          static_cast<int>(n)};
}

/// Seconds of each kind of work.
struct Measured {
  std::vector<double> save, raw;
  std::vector<double> other, begins, beside, completes;  ///< steps
};

/// A trainer and what it saves into a folder of its own.
class CheckpointBench {
 public:
  CheckpointBench(const Deck& deck, const Communicator& ranks, std::string folder)
      : ranks_(ranks),
        collective_(ranks),
        folder_(std::move(folder)),
        trainer_(deck, ranks),
        saver_(collective_, deck.checkpoint) {
    if (!behind() && deck.checkpoint.io != "mpiio") {
      fail(ExitCode::usage,
           "moray bench checkpoint: needs a deck that saves behind its steps, "
           "checkpoint.asynchronous=true and an interval, or by checkpoint.io=mpiio");
    }
    agree(collective_, [&] {
      if (ranks_.rank() == 0) make_folder(folder_);
    });
    const auto allocate = [&](Arena& arena) {
      trainer_.allocate(arena);
      fp8_ = allocate_fp8_saving(arena, deck.checkpoint.fp8_weights, trainer_.model().parameters());
      bytes_ = owned_bytes(trainer_.model(), trainer_.optimizer(), saved_gates(), fp8_);
      saver_.set_snapshot(allocate_snapshot(arena, deck.checkpoint, bytes_));
    };
    Arena plan;
    allocate(plan);
    arena_.reserve(plan);
    allocate(arena_);
    trainer_.initialize();
  }
  ~CheckpointBench() {
    try {
      if (ranks_.rank() == 0) remove_tree(folder_);
    } catch (const std::exception&) {
      // The error that ends the benchmark is the one to report.
    }
  }
  CheckpointBench(const CheckpointBench&) = delete;
  CheckpointBench& operator=(const CheckpointBench&) = delete;

  /// Whether there are steps beside saves to be measured.
  bool behind() const { return saver_.behind(); }

  /// Saves and raw writes in turn, so that what disturbs the disk disturbs both.
  void measure_writes(Measured& out) {
    std::vector<char> raw(static_cast<std::size_t>(bytes_));
    std::size_t at = 0;
    for (const StateTensor& tensor : owned()) {
      for (const StatePiece& piece : tensor.pieces) {
        copy_piece(tensor, piece, raw.data() + at);
        at += static_cast<std::size_t>(piece.count * bytes_of(tensor.spec.dtype));
      }
    }
    for (int round = 0; round < kRounds; ++round) {
      out.save.push_back(timed([&] {
        saver_.save({folder_, "bench"}, owned(), content(++step_));
      }));
      remove(fmt::format("{}/{}", folder_, checkpoint_name(step_)));
      const std::string path = fmt::format("{}/raw-{}", folder_, ranks_.rank());
      out.raw.push_back(timed([&] { write_raw(path, raw); }));
      agree(collective_, [&] { remove_tree(path); });
    }
  }

  /// Steps, the first of each round with the begin of a save, one of the others with its completion.
  void measure_steps(Measured& out) {
    for (int i = 0; i < kWarmSteps; ++i) step();
    for (int round = 0; round < kRounds; ++round) {
      out.begins.push_back(timed([&] {
        step();
        saver_.begin({folder_, "bench"}, owned(), content(++step_));
      }));
      while (saver_.under_way()) {
        bool completed = false;
        const double seconds = timed([&] {
          step();
          if (!ranks_.all(saver_.written())) return;
          saver_.commit();
          completed = true;
        });
        (completed ? out.completes : out.beside).push_back(seconds);
      }
      remove(fmt::format("{}/{}", folder_, checkpoint_name(step_)));
      for (int i = 0; i < kOtherSteps; ++i) out.other.push_back(timed([&] { step(); }));
    }
  }

  /// Of all ranks.
  std::int64_t bytes() const {
    std::int64_t all = bytes_;
    ranks_.sum(std::span(&all, 1));
    return all;
  }

 private:
  GateChoice saved_gates() const {
    return [this](std::size_t moe_layer) { return trainer_.saves_gate(moe_layer); };
  }
  /// Seconds of the slowest rank.
  double timed(const std::function<void()>& work) const {
    ranks_.barrier();
    const auto begin = std::chrono::steady_clock::now();
    work();
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    ranks_.maximum(std::span(&seconds, 1));
    return seconds;
  }

  void step() {
    trainer_.step(trained_++ % trainer_.timeline().total(),
                  [](std::uint64_t g, std::span<std::int32_t> tokens) {
                    for (std::size_t i = 0; i < tokens.size(); ++i)
                      tokens[i] = static_cast<std::int32_t>((g * 31 + i * i) % 256);
                  });
  }

  static void write_raw(const std::string& path, const std::vector<char>& bytes) {
    const File file(path, O_WRONLY | O_CREAT | O_EXCL);
    for (std::size_t at = 0; at < bytes.size(); at += kWriteBytes)
      file.write(bytes.data() + at, std::min(kWriteBytes, bytes.size() - at),
                 static_cast<std::int64_t>(at));
    file.sync();
  }

  void remove(const std::string& path) {
    agree(collective_, [&] {
      if (ranks_.rank() == 0) remove_tree(path);
    });
  }

  std::vector<StateTensor> owned() {
    return owned_state(trainer_.model(), trainer_.optimizer(), saved_gates(), fp8_);
  }
  static CheckpointContent content(std::int64_t step) {
    CheckpointContent content;
    content.step = step;
    return content;
  }

  const Communicator& ranks_;
  MpiCollective collective_;
  std::string folder_;
  Arena arena_;
  Trainer trainer_;
  Saver saver_;
  Fp8Saving fp8_;
  std::int64_t bytes_ = 0;  ///< that this rank owns
  std::int64_t step_ = 0;   ///< of the last save
  std::int64_t trained_ = 0;
};

void add_row(Report& report, const char* name, const std::vector<double>& seconds, double gigabytes,
             const std::vector<double>& reference) {
  if (seconds.empty()) return;
  const Timing timing = summary(seconds);
  report.row({Report::text(name), Report::number(1e3 * timing.median, 1),
              Report::number(100 * timing.spread, 1), Report::number(timing.repetitions, 0),
              gigabytes > 0 ? Report::number(gigabytes / timing.median, 3) : Report::none(),
              Report::number(timing.median / summary(reference).median, 3)});
}

}  // namespace

int bench_checkpoint(const Options& options, const BenchOptions& wanted) {
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  const std::string parent = options.out.empty() ? "." : options.out;
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    const Deck deck = read_deck(path, options.overrides, nullptr, ranks.size());
    select_kernels(deck);
    const std::string folder =
        ranks.broadcast(fmt::format("{}/moray-bench-checkpoint-{}", parent, ::getpid()), 0);
    CheckpointBench bench(deck, ranks, folder);
    Measured measured;
    bench.measure_writes(measured);
    if (bench.behind()) bench.measure_steps(measured);
    const double gigabytes = static_cast<double>(bench.bytes()) * 1e-9;
    if (ranks.rank() != 0) return ExitCode::done;
    Report report("moray bench checkpoint " + path,
                  {"what", "ms", "+-%", "times", "GB/s", "by the first"});
    report.fact("state", fmt::format("{:.1f} MB on {} rank(s)", 1e3 * gigabytes, ranks.size()));
    report.fact("folder", parent);
    report.fact("saves by", deck.checkpoint.io);
    report.fact("time", "of the wall, median of rounds in turn, slowest rank");
    add_row(report, "raw write and fsync", measured.raw, gigabytes, measured.raw);
    add_row(report, "save, steps wait", measured.save, gigabytes, measured.raw);
    add_row(report, "step, no save under way", measured.other, 0, measured.other);
    add_row(report, "step that begins a save", measured.begins, 0, measured.other);
    add_row(report, "step beside the write", measured.beside, 0, measured.other);
    add_row(report, "step that completes it", measured.completes, 0, measured.other);
    print(report, wanted);
    return ExitCode::done;
  });
}

}  // namespace moray
