// moray bench attention: the attention core of a deck's model, every variant beside each other, in
// turn, in one run.
#include <algorithm>
#include <random>

#include "bench.hpp"
#include "bench_report.hpp"
#include "core/arena.hpp"
#include "core/error.hpp"
#include "kernels/attention/attention.hpp"
#include "kernels/variants.hpp"
#include "training/deck.hpp"

namespace moray {

namespace {

constexpr const char* kDefaultDeck = "input/bench/moe-small.yaml";

/// The plain definition is there to compare with, not to be waited for: left out beyond this.
constexpr double kPortableScores = 2e5;

/// Tensors of one call of attention_forward and attention_backward.
struct Core {
  explicit Core(const AttentionShape& given) : shape(given) {
    Arena plan;
    take(plan);
    arena.reserve(plan);
    take(arena);
    // The inputs: uniform, so that no probability is below the -40 rule.
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const Matrix<float>& x : {q, kv, k_pe, dout}) {
      for (std::int64_t i = 0; i < x.rows * x.cols; ++i) x.data[i] = uniform(random) * 0.2f;
    }
  }

  void forward() const {
    attention_forward<float>(ExecSpace(), shape, q, kv, k_pe, workspace, m, l, o);
  }
  void backward() const {
    attention_backward<float>(ExecSpace(), shape, 0.1f, dout, o, q, kv, k_pe, m, l, workspace, dq,
                              dkv, dk_pe);
  }

  double scores() const {
    const auto rows = static_cast<double>(shape.rows);
    return static_cast<double>(shape.sequences * shape.heads) * rows * (rows + 1) / 2;
  }
  /// Multiply-adds of one score: q k and e v; the backward has q k and u v, then dq, dk and dv.
  double forward_steps() const {
    return static_cast<double>(shape.nope + shape.rope + shape.value);
  }
  double backward_steps() const {
    return static_cast<double>(3 * (shape.nope + shape.rope) + 2 * shape.value);
  }

  AttentionShape shape;

 private:
  void take(Arena& from) {
    const std::int64_t tokens = shape.sequences * shape.rows;
    const auto matrix_of = [&](std::int64_t cols) {
      return from.matrix<float>(Memory::workspace, tokens, cols);
    };
    q = matrix_of(shape.heads * (shape.nope + shape.rope));
    kv = matrix_of(shape.heads * (shape.nope + shape.value));
    k_pe = matrix_of(shape.rope);
    dout = matrix_of(shape.heads * shape.value);
    m = matrix_of(shape.heads);
    l = matrix_of(shape.heads);
    o = matrix_of(shape.heads * shape.value);
    dq = matrix_of(shape.heads * (shape.nope + shape.rope));
    dkv = matrix_of(shape.heads * (shape.nope + shape.value));
    dk_pe = matrix_of(shape.rope);
    workspace = from.vector<std::byte>(Memory::workspace, attention_workspace<float>(shape));
  }

  Arena arena;
  Matrix<float> q, kv, k_pe, dout, m, l, o, dq, dkv, dk_pe;
  Vector<std::byte> workspace;
};

void add_rows(Report& report, const char* pass, const Core& core, double steps, double seconds,
              void (Core::*run)() const) {
  std::vector<Contestant> contestants;
  for (const Variant variant : available_variants(Op::attention)) {
    if (variant == Variant::portable && core.scores() > kPortableScores) continue;
    contestants.push_back({std::string(variant_name(variant)), [&core, run, variant] {
                             force_variant(Op::attention, variant);
                             (core.*run)();
                             fence(ExecSpace(), "moray bench attention");
                           }});
  }
  const std::vector<Timing> timings = time_in_turn(contestants, seconds);
  for (std::size_t i = 0; i < timings.size(); ++i) {
    const double time = timings[i].median;
    report.row({Report::text(pass), Report::text(contestants[i].name),
                Report::number(time / core.scores() * 1e9, 2),
                Report::number(100 * timings[i].spread, 1),
                Report::number(2 * steps * core.scores() / time * 1e-9, 1)});
  }
  reset_variants();
}

}  // namespace

int bench_attention(const BenchOptions& options) {
  if (!kHostBackend) {
    fail(ExitCode::usage,
         "moray bench attention: this build's kernels run on a device; it times hosts");
  }
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  const Deck deck = read_deck(path, options.overrides);
  const AttentionConfig& sizes = deck.model.attention;
  const Core core({deck.batch.micro > 0 ? deck.batch.micro : deck.batch.sequences,
                   deck.batch.length, sizes.heads, sizes.nope_width, sizes.rope_width,
                   sizes.value_width});
  Report report("moray bench attention " + path, {"pass", "variant", "ns/score", "+-%", "GFLOP/s"});
  report.fact("shape", fmt::format("{} sequences of {}, {} heads, {} + {} / {}",
                                   core.shape.sequences, core.shape.rows, core.shape.heads,
                                   core.shape.nope, core.shape.rope, core.shape.value));
  report.fact("threads", fmt::format("{}", ExecSpace().concurrency()));
  report.fact("scores", "those of the causal triangle; operations beyond it are not counted");
  report.fact("time", "of the processor, median of runs in turn");
  core.forward();  // m, l and o for the backward
  add_rows(report, "forward", core, core.forward_steps(), options.seconds, &Core::forward);
  add_rows(report, "backward", core, core.backward_steps(), options.seconds, &Core::backward);
  print(report, options);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
