// moray bench gemm: every product of a model's Linears, the exact one beside OpenBLAS and oneDNN, all
// through gemm(), in turn, in one run.
#include <sched.h>

#include <cmath>
#include <fstream>
#include <random>

#include "bench.hpp"
#include "bench_report.hpp"
#include "bench_shapes.hpp"
#include "core/error.hpp"
#include "kernels/gemm/packed.hpp"
#include "kernels/host/host_kernels.hpp"
#include "training/deck.hpp"

namespace moray {

namespace {

constexpr const char* kDefaultDeck = "input/bench/moe-small.yaml";
constexpr const char* kFormNames[] = {"forward", "input gradient", "weight gradient"};

/// A matrix with its own memory, at a multiple of 64 bytes.
Matrix<float> new_matrix(std::vector<View1<float>>& memory, std::int64_t rows, std::int64_t cols) {
  memory.emplace_back("moray::bench::operand", static_cast<std::size_t>(rows * cols + 16));
  float* data = memory.back().data();
  std::mt19937 random(static_cast<unsigned>(memory.size()));
  std::uniform_real_distribution<float> uniform(-1, 1);
  const std::size_t skip = (64 - reinterpret_cast<std::uintptr_t>(data) % 64) % 64 / sizeof(float);
  for (std::int64_t i = 0; i < rows * cols; ++i) data[skip + i] = uniform(random);
  return matrix(data + skip, rows, cols);
}

/// One form of one Linear, all groups: operands and the tasks of a launch.
struct Products {
  Products(const LinearShape& shape, GemmForm f) : form(f) {
    for (const std::int64_t rows : shape.rows) {
      const Matrix<float> x = new_matrix(memory, rows, shape.in);
      const Matrix<float> w = new_matrix(memory, shape.out, shape.in);
      const Matrix<float> y = new_matrix(memory, rows, shape.out);
      switch (form) {
        case GemmForm::nt:
          add(x, w, y, rows, shape.out, shape.in);
          break;
        case GemmForm::nn:
          add(y, w, x, rows, shape.in, shape.out);
          break;
        case GemmForm::tn:
          add(y, x, w, shape.out, shape.in, rows);
          break;
      }
      if (form != GemmForm::tn) pack(w);
    }
    for (std::size_t i = 0; i < packed.size(); ++i) {
      const GemmTask<float>& t = tasks[i];
      packed_tasks.push_back({t.a, t.lda, &packed[i], t.c, t.ldc, t.m});
    }
  }

  double operations() const {
    double sum = 0;
    for (const GemmTask<float>& t : tasks) {
      sum += 2.0 * static_cast<double>(t.m) * static_cast<double>(t.n) * static_cast<double>(t.k);
    }
    return sum;
  }

  GemmForm form;
  std::vector<GemmTask<float>> tasks;
  std::vector<PackedMatrix> packed;
  std::vector<PackedGemmTask> packed_tasks;

 private:
  void add(Matrix<float> a, Matrix<float> b, Matrix<float> c, std::int64_t m, std::int64_t n,
           std::int64_t k) {
    tasks.push_back({a.data, a.stride, b.data, b.stride, c.data, c.stride, m, n, k});
  }
  void pack(Matrix<float> w) {
    const std::int64_t floats = PackedMatrix::floats(tasks.back().n, tasks.back().k);
    const Matrix<float> storage = new_matrix(memory, 1, floats);
    packed.emplace_back().pack(ExecSpace(), form, w, {storage.data, floats});
  }
  std::vector<View1<float>> memory;
};

void run_tasks(Variant variant, const Products& products) {
  force_variant(Op::gemm, variant);
  gemm<float>(ExecSpace(), products.form, products.tasks);
}

/// GFLOP/s of each contestant for one row; 0 where it did not take part.
struct Rates {
  double exact = 0, packed = 0, loop = 0, blas = 0, onednn = 0;
  double spread = 0;  ///< of the exact one
  int repetitions = 0;
};

bool has(Variant variant) {
  const auto variants = available_variants(Op::gemm);
  return std::find(variants.begin(), variants.end(), variant) != variants.end();
}

Rates measure(const Products& products, Variant exact, double seconds) {
  Rates rates;
  std::vector<Contestant> contestants;
  std::vector<double*> results;
  const auto enter = [&](const char* name, double& result, std::function<void()> run) {
    contestants.push_back({name, std::move(run)});
    results.push_back(&result);
  };
  enter("exact", rates.exact, [&] { run_tasks(exact, products); });
  if (!products.packed.empty()) {
    enter("packed", rates.packed, [&] { gemm_packed(ExecSpace(), products.packed_tasks); });
  }
  if (products.tasks.size() > 1) {
    enter("loop", rates.loop, [&] {
      force_variant(Op::gemm, exact);
      for (const GemmTask<float>& task : products.tasks) {
        gemm<float>(ExecSpace(), products.form, {&task, 1});
      }
    });
  }
  if (has(Variant::blas)) {
    enter("blas", rates.blas, [&] { run_tasks(Variant::blas, products); });
  }
  if (has(Variant::onednn)) {
    enter("onednn", rates.onednn, [&] { run_tasks(Variant::onednn, products); });
  }
  const std::vector<Timing> timings = time_in_turn(contestants, seconds);
  for (std::size_t i = 0; i < timings.size(); ++i) {
    *results[i] = products.operations() / timings[i].median * 1e-9;
  }
  rates.spread = timings[0].spread;
  rates.repetitions = timings[0].repetitions;
  return rates;
}

/// GFLOP/s of fused multiply-adds between registers: the best of half a second, since the threads that
/// OpenBLAS starts when it is loaded spin for a while before they sleep.
double peak_rate(Variant variant) {
  const HostKernels* host = host_kernels(variant);
  if (host == nullptr) return 0;
  constexpr long kRounds = 100000;
  volatile float sink = 0;
  double best = 0;
  for (int i = 0; i < 25; ++i) {
    const auto run = [&] { sink = sink + host->peak->run(kRounds, 0.5f, 1.0f); };
    const Timing timing = time_in_turn({{"peak", run}}, 0.02)[0];
    best = std::max(best, kRounds * host->peak->operations_per_round / timing.median * 1e-9);
  }
  return best;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

/// Keeps this thread on the core where it is: one core is measured.
void stay_on_core() {
  const int core = sched_getcpu();
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  sched_setaffinity(0, sizeof set, &set);
}

/// What the ratios refer to: the faster of the two vendors, or OpenBLAS where it runs its kernel for
/// AVX-512, which is the bar whatever else is faster.
double reference(const Rates& rates, bool blas_is_bar) {
  return blas_is_bar ? rates.blas : std::max(rates.blas, rates.onednn);
}

/// Geometric means of ratios.
struct Mean {
  void add(double ratio) {
    if (ratio > 0) sum += std::log(ratio), ++count;
  }
  Report::Cell cell() const {
    return count > 0 ? Report::number(std::exp(sum / count), 3) : Report::none();
  }
  double sum = 0;
  int count = 0;
};
struct Means {
  Mean exact, better, packed, loop;
};

double ratio(double a, double b) {
  return a > 0 && b > 0 ? a / b : 0;
}
Report::Cell rate_cell(double rate) {
  return rate > 0 ? Report::number(rate, 1) : Report::none();
}
Report::Cell ratio_cell(double value) {
  return value > 0 ? Report::number(value, 3) : Report::none();
}

void add_row(Report& report, const LinearShape& shape, const Products& products, const Rates& r,
             double peak, bool blas_is_bar, std::initializer_list<Means*> means) {
  const double bar = reference(r, blas_is_bar);
  for (Means* mean : means) {
    mean->exact.add(ratio(r.exact, bar));
    mean->better.add(ratio(r.exact, std::max(r.blas, r.onednn)));
    mean->packed.add(ratio(r.packed, bar));
    mean->loop.add(ratio(r.exact, r.loop));
  }
  const GemmTask<float>& t = products.tasks[0];
  const auto size = [](std::int64_t n) { return Report::number(static_cast<double>(n), 0); };
  report.row({Report::text(kFormNames[static_cast<int>(products.form)]), Report::text(shape.name),
              size(t.m), size(t.n), size(t.k), size(static_cast<std::int64_t>(shape.rows.size())),
              rate_cell(r.exact), Report::number(100 * r.spread, 1),
              peak > 0 ? Report::number(100 * r.exact / peak, 1) : Report::none(),
              rate_cell(r.packed), rate_cell(r.blas), rate_cell(r.onednn),
              ratio_cell(ratio(r.exact, bar)),
              ratio_cell(ratio(r.exact, std::max(r.blas, r.onednn))),
              ratio_cell(ratio(r.packed, bar)), ratio_cell(ratio(r.exact, r.loop))});
}

void add_mean(Report& report, const std::string& form, const Means& means) {
  std::vector<Report::Cell> cells = {Report::text(form), Report::text("geometric mean")};
  for (int i = 0; i < 10; ++i) cells.push_back(Report::none());
  cells.insert(cells.end(),
               {means.exact.cell(), means.better.cell(), means.packed.cell(), means.loop.cell()});
  report.row(std::move(cells));
}

}  // namespace

int bench_gemm(const BenchOptions& options) {
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  const Deck deck = read_deck(path, options.overrides);
  const Variant exact = selected_variant(Op::gemm);
  if (ExecSpace().concurrency() == 1) stay_on_core();
  const double peak = peak_rate(exact);
  const bool blas_is_bar = has(Variant::blas) && gemm_is_avx512(Variant::blas);

  Report report("moray bench gemm " + path,
                {"form", "linear", "m", "n", "k", "groups", "GFLOP/s", "+-%", "%peak", "packed",
                 "OpenBLAS", "oneDNN", "/bar", "/better", "packed/bar", "grouped/loop"});
  report.fact("processor", processor_name());
  report.fact("threads", fmt::format("{}", ExecSpace().concurrency()));
  report.fact("exact", std::string(variant_name(exact)));
  report.fact("peak", fmt::format("{:.1f} GFLOP/s of fma between registers", peak));
  Means all;
  for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) {
    Means of_form;
    for (const LinearShape& shape : linear_shapes(deck)) {
      force_variant(Op::gemm, exact);  // weights are packed for this one
      const Products products(shape, form);
      const Rates rates = measure(products, exact, options.seconds);
      add_row(report, shape, products, rates, peak, blas_is_bar, {&of_form, &all});
    }
    add_mean(report, kFormNames[static_cast<int>(form)], of_form);
  }
  add_mean(report, "all", all);
  for (const Variant vendor : {Variant::blas, Variant::onednn}) {
    if (has(vendor)) report.fact(std::string(variant_name(vendor)), gemm_description(vendor));
  }
  report.fact("bar", blas_is_bar ? "OpenBLAS, whose kernel for AVX-512 runs"
                                 : "the faster of OpenBLAS and oneDNN");
  report.fact("time",
              "of the processor, median of runs in turn; operands are packed within it, "
              "except where weights are packed beforehand");
  reset_variants();
  print(report, options);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
