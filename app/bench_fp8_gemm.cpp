// moray bench fp8-gemm: the products of a model's Linears in FP8 and bf16 beside those in float32, in
// turn, in one run.
#include "bench.hpp"
#include "bench_fp8_products.hpp"
#include "bench_report.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"

namespace moray {

namespace {

constexpr const char* kDefaultDeck = "input/bench/moe-small.yaml";
constexpr const char* kFormNames[] = {"forward", "input gradient", "weight gradient"};

/// One who runs the products, and the seconds that it took over all Linears.
struct Runner {
  std::string name;
  Variant variant;
  bool is_plain = false;
  bool is_half = false;
  double total = 0;

  void run(const MixedProducts& products) const {
    if (is_plain) {
      force_variant(Op::gemm, variant);
      return gemm<float>(ExecSpace(), products.form, products.plain);
    }
    force_variant(Op::mixed_gemm, variant);
    mixed_gemm(ExecSpace(), products.form, is_half ? products.half : products.fp8);
  }
};

std::vector<Runner> runners() {
  std::vector<Runner> all = {{"float32", selected_variant(Op::gemm), true},
                             {"fp8", selected_variant(Op::mixed_gemm)},
                             {"bf16", selected_variant(Op::mixed_gemm), false, true}};
  for (const Variant variant : available_variants(Op::mixed_gemm)) {
    if (is_exact(variant)) continue;
    all.push_back({fmt::format("fp8 {}", variant_name(variant)), variant});
    all.push_back({fmt::format("bf16 {}", variant_name(variant)), variant, false, true});
  }
  return all;
}

/// What training keeps in higher precision.
bool is_in_fp8(const LinearShape& shape) {
  return shape.name != "gate" && shape.name != "head";
}

void add_row(Report& report, const LinearShape& shape, const MixedProducts& products,
             std::vector<Runner>& all, double seconds) {
  // Each result once from the start, to be compared.
  all[0].run(products);
  all[1].run(products);
  fence(ExecSpace(), "moray bench fp8-gemm");
  const double difference = products.calc_diff(products.fp8);

  std::vector<Contestant> contestants;
  for (const Runner& runner : all) {
    contestants.push_back({runner.name, [&products, &runner] {
                             runner.run(products);
                             fence(ExecSpace(), "moray bench fp8-gemm");
                           }});
  }
  const std::vector<Timing> timings = time_in_turn(contestants, seconds);
  const GemmTask<float>& t = products.plain[0];
  std::vector<Report::Cell> cells = {Report::text(kFormNames[static_cast<int>(products.form)]),
                                     Report::text(shape.name)};
  for (const std::int64_t size :
       {t.m, t.n, t.k, static_cast<std::int64_t>(products.plain.size())}) {
    cells.push_back(Report::number(static_cast<double>(size), 0));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    cells.push_back(Report::number(products.operations() / timings[i].median * 1e-9, 1));
    if (i > 0) cells.push_back(Report::number(timings[i].median / timings[0].median, 3));
    all[i].total += timings[i].median;
  }
  cells.push_back(Report::number(100 * timings[0].spread, 1));
  cells.push_back(Report::number(1e4 * difference, 2));
  report.row(std::move(cells));
}

}  // namespace

int bench_fp8_gemm(const BenchOptions& options) {
  if (!kHostBackend) {
    fail(ExitCode::usage,
         "moray bench fp8-gemm: this build's kernels run on a device; it times hosts");
  }
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  const Deck deck = read_deck(path, options.overrides);
  std::vector<Runner> all = runners();
  std::vector<std::string> columns = {"form", "linear", "m", "n", "k", "groups"};
  for (const Runner& runner : all) {
    columns.push_back(runner.name);
    if (!runner.is_plain) columns.push_back(runner.name + "/float32");
  }
  columns.insert(columns.end(), {"+-%", "diff 1e-4"});
  Report report("moray bench fp8-gemm " + path, columns);
  report.fact("threads", fmt::format("{}", ExecSpace().concurrency()));
  report.fact("exact", fmt::format("float32 {}, others {}", variant_name(all[0].variant),
                                   variant_name(all[1].variant)));
  for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) {
    for (const LinearShape& shape : linear_shapes(deck)) {
      if (!is_in_fp8(shape)) continue;
      const MixedProducts products(shape, form, deck.batch.sequences);
      add_row(report, shape, products, all, options.seconds);
    }
  }
  std::vector<Report::Cell> sums = {Report::text("all"), Report::text("time of all")};
  for (int i = 0; i < 4; ++i) sums.push_back(Report::none());
  for (const Runner& runner : all) {
    sums.push_back(Report::none());
    if (!runner.is_plain) sums.push_back(Report::number(runner.total / all[0].total, 3));
  }
  sums.insert(sums.end(), 2, Report::none());
  report.row(std::move(sums));
  report.fact("numbers", "GFLOP/s; /float32: the time as a multiple of that of float32");
  report.fact("diff",
              "1 - 2 <x, y> / (<x, x> + <y, y>) of fp8 and unquantised float32, normal data");
  report.fact("time", "of the processor, median of runs in turn; quantising is not in it");
  reset_variants();
  print(report, options);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
