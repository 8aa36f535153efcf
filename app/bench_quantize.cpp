// moray bench quantize: every quantiser of a deck's activations and weights, beside a copy of the same
// bytes, in turn, in one run.
#include <cstring>

#include "bench.hpp"
#include "bench_fp8_products.hpp"
#include "bench_report.hpp"
#include "core/error.hpp"
#include "kernels/rmsnorm/rmsnorm.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "training/deck.hpp"

namespace moray {

namespace {

constexpr const char* kDefaultDeck = "input/bench/moe-small.yaml";

/// One quantiser: values that it takes and bytes that it reads and writes.
struct Job {
  const char* name;
  double values;
  double bytes;
  std::function<void()> run;
};

double bytes_of(const Quantized& q) {
  return static_cast<double>(q.codes.rows * q.codes.cols + 4 * q.scales.rows * q.scales.cols);
}

/// Operands of all jobs: the tokens of a step with `width` channels, and a matrix of weights.
class Jobs {
 public:
  Jobs(const Deck& deck, CodeType type)
      : rows_(deck.batch.sequences * deck.batch.length),
        width_(deck.model.model.width),
        type_(type),
        x_(storage_.normal(rows_, width_, 1)),
        gu_(storage_.normal(rows_, 2 * width_, 1)),
        y_(storage_.take<float>(rows_, width_)),
        gamma_(storage_.normal(1, width_, 1)),
        r_(storage_.take<float>(1, rows_)),
        blocks_(storage_.blocks(rows_, deck.batch.sequences)),
        tokens_(storage_.codes(type, rows_, width_, rows_, scale_blocks(width_))),
        kept_(storage_.codes(type, rows_, 2 * width_, rows_, scale_blocks(2 * width_))) {
    quantize_tokens(exec_, gu_, kRule, kept_);
    add_tokens();
    if (type == CodeType::e4m3) add_others();
  }

  std::vector<Job> list;

 private:
  void add(const char* name, std::int64_t values, double read, const Quantized& out,
           std::function<void()> run) {
    list.push_back({name, static_cast<double>(values), read + bytes_of(out), std::move(run)});
  }
  double size(Matrix<const float> x) const { return 4.0 * static_cast<double>(x.rows * x.cols); }

  void add_tokens() {
    const std::int64_t n = rows_ * width_;
    add("1 x 128", n, size(x_), tokens_, [this] { quantize_tokens(exec_, x_, kRule, tokens_); });
    add("1 x 128, back", n, size(x_), tokens_, [this] { dequantize_tokens(exec_, tokens_, y_); });
    add("swiglu, 1 x 128", n, size(gu_), tokens_,
        [this] { swiglu_quantize_tokens(exec_, gu_, {}, kRule, tokens_); });
    add("swiglu of codes, 1 x 128", n, bytes_of(kept_), tokens_,
        [this] { swiglu_quantize_tokens(exec_, kept_, gu_, {}, kRule, tokens_); });
    add("rmsnorm, 1 x 128", n, size(x_), tokens_,
        [this] { rmsnorm_quantize_tokens(exec_, x_, gamma(), 1e-6F, kRule, {}, r(), tokens_); });
  }

  void add_others() {
    const std::int64_t n = rows_ * width_, blocks = blocks_.size;
    channels_ = storage_.codes(type_, rows_, width_, blocks, width_);
    across_ = storage_.codes(type_, width_, rows_, width_, blocks);
    weights_ = storage_.codes(type_, rows_, width_, scale_blocks(rows_), scale_blocks(width_));
    add("128 x 1", n, size(x_), channels_,
        [this] { quantize_channels(exec_, x_, blocks_, kRule, Layout::rows, channels_); });
    add("128 x 1, transposed", n, size(x_), across_,
        [this] { quantize_channels(exec_, x_, blocks_, kRule, Layout::transposed, across_); });
    add("128 x 1 from 1 x 128", n, bytes_of(tokens_), channels_, [this] {
      requantize_channels(exec_, tokens_, width_, blocks_, kRule, Layout::rows, channels_);
    });
    add("128 x 128", n, size(x_), weights_,
        [this] { quantize_weights(exec_, x_, kRule, weights_); });
  }

  Vector<const float> gamma() const { return {gamma_.data, width_}; }
  Vector<float> r() const { return {r_.data, rows_}; }

  static constexpr ScaleRule kRule = ScaleRule::power_of_two;

  ExecSpace exec_;
  BenchStorage storage_;
  std::int64_t rows_, width_;
  CodeType type_;
  Matrix<float> x_, gu_, y_, gamma_, r_;
  Vector<const RowBlock> blocks_;
  Quantized tokens_, kept_, channels_, across_, weights_;
};

void add_row(Report& report, const char* type, const Job& job, double seconds) {
  // A copy that reads and writes as many bytes in all.
  std::vector<char> from(static_cast<std::size_t>(job.bytes / 2), 1), to(from.size());
  const std::vector<Timing> timings =
      time_in_turn({{job.name,
                     [&job] {
                       job.run();
                       fence(ExecSpace(), "moray bench quantize");
                     }},
                    {"memcpy", [&] { std::memcpy(to.data(), from.data(), from.size()); }}},
                   seconds);
  const double time = timings[0].median;
  report.row({Report::text(job.name), Report::text(type), Report::number(job.values, 0),
              Report::number(1e9 * time / job.values, 3),
              Report::number(100 * timings[0].spread, 1),
              Report::number(1e-9 * job.bytes / time, 2),
              Report::number(1e-9 * job.bytes / timings[1].median, 2),
              Report::number(time / timings[1].median, 2)});
}

}  // namespace

int bench_quantize(const BenchOptions& options) {
  if (!kHostBackend) {
    fail(ExitCode::usage,
         "moray bench quantize: this build's kernels run on a device; it times hosts");
  }
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  const Deck deck = read_deck(path, options.overrides);
  Report report("moray bench quantize " + path, {"quantiser", "codes", "values", "ns/value", "+-%",
                                                 "GB/s", "memcpy GB/s", "/memcpy"});
  report.fact("variant", std::string(variant_name(selected_variant(Op::quantize))));
  report.fact("threads", fmt::format("{}", ExecSpace().concurrency()));
  report.fact("bytes", "read and written, codes and scales; memcpy moves as many by one thread");
  report.fact("time", "of the processor, median of runs in turn");
  for (const auto& [type, name] : {std::pair{CodeType::e4m3, "E4M3"}, {CodeType::e5m6, "E5M6"}}) {
    const Jobs jobs(deck, type);
    for (const Job& job : jobs.list) add_row(report, name, job, options.seconds);
  }
  print(report, options);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
