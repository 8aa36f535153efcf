// moray bench step: a whole training step of a deck in each precision, exact and with vendor kernels, in turn.
#include <fmt/format.h>

#include <memory>

#include "bench.hpp"
#include "bench_report.hpp"
#include "core/error.hpp"
#include "kernels/variants.hpp"
#include "runtime.hpp"
#include "training/deck.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

constexpr const char* kDefaultDeck = "input/bench/moe-small.yaml";

/// A trainer of its own and the kernels that it runs with.
class Runner {
 public:
  Runner(Deck deck, const Communicator& ranks) : deck_(std::move(deck)), trainer_(deck_, ranks) {
    Arena plan;
    trainer_.allocate(plan);
    arena_.reserve(plan);
    trainer_.allocate(arena_);
    trainer_.initialize();
  }
  void step() {
    reset_variants();
    if (deck_.run.determinism == "run") prefer_vendor_variants();
    trainer_.step(trained_++ % trainer_.timeline().total(),
                  [](std::uint64_t g, std::span<std::int32_t> tokens) {
                    for (std::size_t i = 0; i < tokens.size(); ++i)
                      tokens[i] = static_cast<std::int32_t>((g * 31 + i * i) % 256);
                  });
  }

 private:
  Deck deck_;
  Arena arena_;
  Trainer trainer_;
  std::int64_t trained_ = 0;
};

struct Kind {
  const char* name;
  std::vector<std::string> overrides;
};

/// The first is what the others are measured by.
std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const char* determinism : {"exact", "run"}) {
    const std::string kernels = fmt::format("run.determinism={}", determinism);
    const bool exact = all.empty();
    all.push_back({exact ? "float32" : "float32, vendor", {"precision.compute=float32", kernels}});
    all.push_back({exact ? "bf16" : "bf16, vendor", {"precision.compute=bf16", kernels}});
    // Vendor products take scales of powers of two only; exact ones those of the deck, by default float32.
    all.push_back({exact ? "fp8" : "fp8, vendor", {"precision.compute=fp8", kernels}});
    if (!exact) all.back().overrides.push_back("precision.scales=power_of_two");
  }
  return all;
}

}  // namespace

int bench_step(const Options& options, const BenchOptions& wanted) {
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    if (ranks.size() > 1)
      fail(ExitCode::usage, "moray bench step: times one rank, not {}", ranks.size());
    std::vector<std::unique_ptr<Runner>> runners;
    std::vector<Contestant> contestants;
    const std::vector<Kind> all = kinds();
    for (const Kind& kind : all) {
      std::vector<std::string> overrides = options.overrides;
      overrides.insert(overrides.end(), kind.overrides.begin(), kind.overrides.end());
      runners.push_back(
          std::make_unique<Runner>(read_deck(path, overrides, nullptr, ranks.size()), ranks));
      Runner& runner = *runners.back();
      runner.step();
      contestants.push_back({kind.name, [&runner] { runner.step(); }});
    }
    const std::vector<Timing> timings = time_in_turn(contestants, wanted.seconds);
    Report report("moray bench step " + path, {"step", "ms", "+-%", "times", "/float32"});
    report.fact("threads", fmt::format("{}", ExecSpace().concurrency()));
    report.fact(
        "fp8",
        "vendor: scales are powers of two, which its products need; exact: those of the deck");
    report.fact("vendor", fmt::format("run.determinism run; mixed products: {}",
                                      variant_name(selected_variant(Op::mixed_gemm))));
    report.fact("time", "of the processor, median of steps in turn");
    for (std::size_t i = 0; i < all.size(); ++i) {
      report.row({Report::text(all[i].name), Report::number(1e3 * timings[i].median, 1),
                  Report::number(100 * timings[i].spread, 1),
                  Report::number(timings[i].repetitions, 0),
                  Report::number(timings[i].median / timings[0].median, 3)});
    }
    print(report, wanted);
    return ExitCode::done;
  });
}

}  // namespace moray
