// moray bench progress: what is left of an exchange that was started before a computation. With help
// the kernels of the computation move it (comm/progress.hpp); without, MPI moves it when it is asked
// to wait.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "bench.hpp"
#include "bench_ranks.hpp"
#include "bench_report.hpp"
#include "comm/row_exchange.hpp"
#include "core/error.hpp"
#include "kernels/gemm/gemm.hpp"
#include "runtime.hpp"

namespace moray {
namespace {

constexpr std::int64_t kRowBytes = 8192, kRows = 1024;  // 8 MiB of rows of 2048 float32 channels
constexpr std::int64_t kWidth = 2048;
constexpr double kComputation = 0.05;  // seconds
constexpr int kRepetitions = 40;

/// Rows to all other ranks, kRows in all, and as many from them.
class Exchange {
 public:
  explicit Exchange(const Communicator& ranks)
      : ranks_(ranks),
        rows_(static_cast<std::size_t>(ranks.size()), kRows / (ranks.size() - 1)),
        out_("bench::out", kRows * kRowBytes),
        in_("bench::in", kRows * kRowBytes) {
    rows_[static_cast<std::size_t>(ranks.rank())] = 0;
  }
  void start() { exchange_.start(ranks_, out_.data(), rows_, in_.data(), rows_, kRowBytes); }
  void finish() { exchange_.finish(); }

 private:
  const Communicator& ranks_;
  std::vector<std::int64_t> rows_;
  View1<char> out_, in_;
  RowExchange exchange_;
};

/// One product c (m, W) = a (m, W) b (W, W)ᵀ, as tall as takes kComputation on the slowest rank.
class Computation {
 public:
  explicit Computation(const Communicator& ranks) : b_("bench::b", kWidth * kWidth) {
    resize(256);
    (*this)();
    double seconds = timed(ranks, *this);
    for (int again = 0; again < 4; ++again) seconds = std::min(seconds, timed(ranks, *this));
    resize(static_cast<std::int64_t>(std::ceil(256 * kComputation / seconds)));
    (*this)();
  }
  void operator()() const {
    gemm<float>(exec_, GemmForm::nt, matrix<const float>(a_.data(), rows_, kWidth),
                matrix<const float>(b_.data(), kWidth, kWidth), matrix(c_.data(), rows_, kWidth));
    fence(exec_, "bench: computed");
  }
  std::int64_t rows() const { return rows_; }

 private:
  void resize(std::int64_t rows) {
    rows_ = rows;
    a_ = View1<float>("bench::a", static_cast<std::size_t>(rows * kWidth));
    c_ = View1<float>("bench::c", static_cast<std::size_t>(rows * kWidth));
  }

  ExecSpace exec_;
  std::int64_t rows_ = 0;
  View1<float> a_, b_, c_;
};

/// One way to have both: its times, each of the slowest rank of a repetition.
struct Series {
  std::vector<double> wait, computation, both, tests, in_mpi, gap;
};

/// The exchange in flight beside the computation.
void run_both(const Communicator& ranks, Exchange& exchange, const Computation& computation,
              Series& series) {
  double computed = 0;
  const double both = timed_here(ranks, [&] {
    exchange.start();
    reset_progress_counts();
    const double begin = MPI_Wtime();
    computation();
    computed = MPI_Wtime() - begin;
    exchange.finish();
  });
  const ProgressCounts counts = progress_counts();
  double most[] = {both - computed, computed,      both, static_cast<double>(counts.tests),
                   counts.seconds,  counts.longest};
  ranks.maximum(std::span(most));
  std::vector<double>* const to[] = {&series.wait,  &series.computation, &series.both,
                                     &series.tests, &series.in_mpi,      &series.gap};
  for (std::size_t i = 0; i < std::size(to); ++i) to[i]->push_back(most[i]);
}

/// The median of a / (b + c), repetition by repetition.
double ratio(const std::vector<double>& a, const std::vector<double>& b,
             const std::vector<double>& c) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / (b[i] + c[i]));
  return median(ratios);
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  check_mpi(MPI_Get_library_version(text, &length), "MPI_Get_library_version", "benchmark");
  const std::string all(text, static_cast<std::size_t>(length));
  return all.substr(0, all.find_first_of(",\n"));
}

void add(Report& report, const char* help, const std::vector<double>& alone, const Series& series,
         const Series& without) {
  const auto ms = [](const std::vector<double>& values, int digits) {
    return Report::number(1e3 * median(values), digits);
  };
  const std::vector<double> none(alone.size());
  report.row({Report::text(help), ms(alone, 2), ms(series.wait, 2),
              Report::number(ratio(series.wait, alone, none), 3), ms(series.computation, 2),
              Report::number(ratio(series.computation, without.computation, none), 3),
              Report::number(ratio(series.both, without.computation, alone), 3),
              Report::number(median(series.tests), 0), ms(series.in_mpi, 2),
              median(series.tests) > 0 ? ms(series.gap, 3) : Report::none()});
}

}  // namespace

int bench_progress(const Options& options, const BenchOptions& wanted) {
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    if (ranks.size() < 2)
      fail(ExitCode::usage, "moray bench progress: runs on two ranks or more: start it with -n 2");
    Exchange exchange(ranks);
    const Computation computation(ranks);
    const auto exchange_alone = [&] {
      exchange.start();
      exchange.finish();
    };
    exchange_alone();
    std::vector<double> alone;
    Series with, without;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      alone.push_back(timed(ranks, exchange_alone));
      for (const bool helped : {repetition % 2 == 0, repetition % 2 != 0}) {
        if (helped) {
          run_both(ranks, exchange, computation, with);
        } else {
          const NoProgress none;
          run_both(ranks, exchange, computation, without);
        }
      }
    }
    Report report("An exchange of 8 MiB a rank in flight beside a computation of 50 ms",
                  {"help", "exchange alone ms", "wait left ms", "wait/alone", "computation ms",
                   "/no help", "both/sum", "tests", "in MPI ms", "longest gap ms"});
    report.fact("ranks", std::to_string(ranks.size()));
    report.fact("computation",
                fmt::format("one product of {} x {} x {}, {} thread(s) a rank", computation.rows(),
                            kWidth, kWidth, ExecSpace().concurrency()));
    report.fact("MPI", mpi_library());
    report.fact("time",
                fmt::format("slowest rank, medians of {} repetitions in turn", kRepetitions));
    add(report, "none", alone, without, without);
    add(report, "kernels", alone, with, without);
    if (ranks.rank() == 0) print(report, wanted);
    return ExitCode::done;
  });
}

}  // namespace moray
