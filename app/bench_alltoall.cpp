// moray bench alltoall: tokens to the ranks of the experts that a gate chose for them, beside MPI_Alltoallv of the same bytes.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>

#include "bench.hpp"
#include "bench_ranks.hpp"
#include "bench_report.hpp"
#include "bench_routing.hpp"
#include "comm/mesh.hpp"
#include "comm/mpi_collective.hpp"
#include "core/recorder.hpp"
#include "io/files.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/permute/permute.hpp"
#include "moe/token_traffic.hpp"
#include "runtime.hpp"
#include "training/deck.hpp"

namespace moray {
namespace {

constexpr const char* kDefaultDeck = "input/bench/alltoall.yaml";
constexpr std::int64_t kTokens = 4096;
constexpr int kPairs = 30;

/// One layout of the traffic with its memory.
class Traffic {
 public:
  Traffic(const Communicator& ranks, const RecordedRouting& routing, std::int64_t width,
          std::int64_t nodes, bool two_hops)
      : mesh_(ranks, {.data = ranks.size(), .expert = ranks.size(), .nodes = nodes}),
        batch_(1),
        routing_(routing),
        width_(width) {
    share_.shares = ranks.size();
    share_.share = mesh_.place().share;
    share_.group = &mesh_.expert_group();
    share_.node_ranks = mesh_.group_node_ranks();
    share_.two_hops = two_hops;
    if (two_hops) {
      share_.across = &mesh_.across();
      share_.inside = &mesh_.inside();
    }
    batch_.assign(Deal{}, 0, 1);
    Arena counted;
    take(counted);
    arena_.reserve(counted);
    take(arena_);
    copy_to_device(routing.selected.data(), routing.selected.size(), choices_.data);
    std::vector<std::int64_t> loads(static_cast<std::size_t>(routing.experts));
    traffic_.plan(exec_, {&batch_, kTokens}, choices_, weights_, loads);
    traffic_.announce();
    run();  // buffers grow now
  }

  /// Tokens to their experts: rows packed, sent and received.
  void run() {
    traffic_.dispatch_start(exec_, as_bytes<float>(tokens_), received_);
    traffic_.dispatch_finish(exec_, received_);
  }
  void relay() { traffic_.dispatch_relay(exec_, received_); }
  void start() { traffic_.dispatch_start(exec_, as_bytes<float>(tokens_), received_); }
  void finish() { traffic_.dispatch_finish(exec_, received_); }
  TokenCopies copies() const { return traffic_.copies(); }
  /// What this rank sends in a dispatch, as counted by what sends it.
  SentBytes dispatch_bytes() {
    const SentBytes before = sent();
    run();
    return sent() - before;
  }
  const RecordedRouting& routing() const { return routing_; }
  const ExpertShare& share() const { return share_; }
  Matrix<float> tokens() const { return tokens_; }

 private:
  SentBytes sent() const {
    SentBytes all = share_.group->sent();
    if (share_.two_hops) {
      all += share_.across->sent();
      all += share_.inside->sent();
    }
    return all;
  }
  void take(Arena& arena) {
    traffic_ =
        TokenTraffic<float>(arena, share_, 1, kTokens, routing_.experts, routing_.choices, width_);
    received_ = arena.rows<std::byte>(Memory::activations, traffic_.planned_tokens(),
                                      row_bytes<float>(RowFormat::real, width_));
    tokens_ = arena.matrix<float>(Memory::activations, kTokens, width_);
    weights_ = arena.matrix<float>(Memory::activations, kTokens, routing_.choices);
    choices_ = arena.matrix<std::int32_t>(Memory::activations, kTokens, routing_.choices);
  }

  Mesh mesh_;
  ExpertShare share_;
  BatchLayout batch_;
  ExecSpace exec_;
  const RecordedRouting& routing_;
  std::int64_t width_;
  Arena arena_;
  TokenTraffic<float> traffic_;
  Rows<std::byte> received_;
  Matrix<float> tokens_, weights_;
  Matrix<std::int32_t> choices_;
};

/// Copies to each rank when each goes straight there, and those of all ranks to this one.
struct Counts {
  std::vector<std::int64_t> out, in;
  std::int64_t sum_out() const { return std::accumulate(out.begin(), out.end(), std::int64_t{0}); }
  std::int64_t sum_in() const { return std::accumulate(in.begin(), in.end(), std::int64_t{0}); }
};
Counts count(const Communicator& group, const RecordedRouting& routing) {
  const std::int64_t local = routing.experts / group.size();
  std::vector<std::int32_t> out(static_cast<std::size_t>(group.size())), in(out.size());
  for (std::int64_t t = 0; t < kTokens; ++t) {
    std::int64_t last = -1;
    for (std::int64_t k = 0; k < routing.choices; ++k) {
      const auto choice = static_cast<std::size_t>(t * routing.choices + k);
      const std::int64_t share = routing.selected[choice] / local;
      if (share != last) ++out[static_cast<std::size_t>(share)];
      last = share;
    }
  }
  group.all_to_all(out, in, 1);
  return {{out.begin(), out.end()}, {in.begin(), in.end()}};
}

/// MPI_Alltoallv of rows, as anyone would write it.
void raw(const Communicator& group, const Counts& counts, std::int64_t width, const float* out,
         float* in) {
  std::vector<int> c[4];
  int places[2] = {0, 0};
  for (std::size_t r = 0; r < counts.out.size(); ++r) {
    const int sizes[2] = {static_cast<int>(counts.out[r] * width),
                          static_cast<int>(counts.in[r] * width)};
    for (int i = 0; i < 2; ++i) {
      c[2 * i].push_back(sizes[i]);
      c[2 * i + 1].push_back(places[i]);
      places[i] += sizes[i];
    }
  }
  check_mpi(MPI_Alltoallv(out, c[0].data(), c[1].data(), MPI_FLOAT, in, c[2].data(), c[3].data(),
                          MPI_FLOAT, group.raw()),
            "MPI_Alltoallv", "benchmark");
}

struct Measured {
  double raw = 0, exchange = 0, ratio = 0, pack = 0, whole = 0;
  // Parts of the exchange: not waited for behind the computation, and not added to its time.
  double hidden = 0, saved = 0, unhelped_hidden = 0, unhelped_saved = 0;
};

Measured measure(const Communicator& ranks, Traffic& traffic) {
  const Communicator& group = *traffic.share().group;
  const Counts counts = count(group, traffic.routing());
  const std::int64_t width = traffic.tokens().cols;
  View1<float> out("bench::out", static_cast<std::size_t>(counts.sum_out() * width));
  View1<float> in("bench::in", static_cast<std::size_t>(counts.sum_in() * width));
  std::vector<std::int32_t> source(static_cast<std::size_t>(counts.sum_out()));
  for (std::size_t i = 0; i < source.size(); ++i)
    source[i] = static_cast<std::int32_t>(i % kTokens);
  View1<std::int32_t> sources("bench::source", source.size());
  copy_to_device(source.data(), source.size(), sources.data());
  const ExecSpace exec;
  RowExchange exchange;
  const auto ours = [&] {
    exchange.start(group, out.data(), counts.out, in.data(), counts.in, width * 4);
    exchange.finish();
  };
  const auto pack = [&] {
    gather_rows<float>(exec, traffic.tokens(),
                       {sources.data(), static_cast<std::int64_t>(source.size())},
                       matrix(out.data(), counts.sum_out(), width));
    fence(exec, "bench: packed");
  };
  // Work of about the same time, to hide the exchange under.
  constexpr std::int64_t kSide = 256;
  View1<float> a("bench::a", static_cast<std::size_t>(kSide * width)),
      b("bench::b", static_cast<std::size_t>(kSide * width)), c("bench::c", kSide * kSide);
  std::int64_t products = 2;
  const auto compute = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      gemm<float>(exec, GemmForm::nt, matrix<const float>(a.data(), kSide, width),
                  matrix<const float>(b.data(), kSide, width), matrix(c.data(), kSide, kSide));
    }
    fence(exec, "bench: computed");
  };
  raw(group, counts, width, out.data(), in.data());
  ours();
  const double one = timed(ranks, [&] { compute(0, 1); });
  const double whole = timed(ranks, [&] { traffic.run(); });
  products = std::max<std::int64_t>(2, static_cast<std::int64_t>(std::ceil(whole / one)));

  Recorder recorder;
  recorder.reserve(16);
  std::vector<double> raws, exchanges, ratios, packs, wholes;
  std::vector<double> hidden[2], saved[2];  // without help, with help
  for (int pair = 0; pair < kPairs; ++pair) {
    const auto run_raw = [&] { raw(group, counts, width, out.data(), in.data()); };
    const bool first = pair % 2 == 0;  // who goes first changes, too
    double r = first ? timed(ranks, run_raw) : 0;
    const double o = timed(ranks, ours);
    if (!first) r = timed(ranks, run_raw);
    raws.push_back(r);
    exchanges.push_back(o);
    ratios.push_back(r / o);
    packs.push_back(timed(ranks, pack));
    wholes.push_back(timed(ranks, [&] { traffic.run(); }));
    const double alone = timed(ranks, [&] { compute(0, products); });
    const double part = wholes.back() - packs.back();
    for (const bool helped : {first, !first}) {
      std::optional<NoProgress> none;
      if (!helped) none.emplace();
      const double both = timed(ranks, [&] {
        const Recorder::Recording recording(recorder);
        traffic.start();
        compute(0, products / 2);
        traffic.relay();
        compute(products / 2, products);
        traffic.finish();
      });
      double wait = 0;  // for tokens: in the relay and at the end
      for (const Recorder::Span& span : recorder.spans()) wait += span.end - span.begin;
      ranks.maximum(std::span(&wait, 1));
      hidden[helped].push_back(1 - wait / part);
      saved[helped].push_back(1 - (both - alone - packs.back()) / part);
    }
  }
  return {median(raws),      median(exchanges), median(ratios),    median(packs),   median(wholes),
          median(hidden[1]), median(saved[1]),  median(hidden[0]), median(saved[0])};
}

/// Tokens that each expert gets from all ranks; those of `together` experts added.
std::vector<std::int64_t> loads(const Communicator& ranks, const RecordedRouting& routing,
                                std::int64_t together) {
  std::vector<std::int64_t> loads(static_cast<std::size_t>(routing.experts / together));
  for (const std::int32_t expert : routing.selected)
    ++loads[static_cast<std::size_t>(expert / together)];
  ranks.sum(loads);
  return loads;
}

/// "1024 mean, 3000 most (2.93 of the mean), 12 fewest".
std::string spread(const std::vector<std::int64_t>& values) {
  const auto sum = std::accumulate(values.begin(), values.end(), std::int64_t{0});
  const double mean = static_cast<double>(sum) / static_cast<double>(values.size());
  const auto [fewest, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("{:.0f} mean, {} most ({:.2f} of the mean), {} fewest", mean, *most,
                     static_cast<double>(*most) / mean, *fewest);
}

}  // namespace

int bench_alltoall(const Options& options, const BenchOptions& wanted) {
  const std::string path = options.deck.empty() ? kDefaultDeck : options.deck;
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    const Deck deck = read_deck(path, options.overrides);
    const auto experts = static_cast<std::uint64_t>(deck.model.moe.experts);
    const auto size = static_cast<std::uint64_t>(ranks.size());
    if (size < 2 || !std::has_single_bit(size) || experts % size != 0) {
      fail(ExitCode::usage,
           "moray bench alltoall: runs on 2, 4, 8, ... ranks that divide the {} experts of {}: "
           "start it with -n 2",
           experts, path);
    }
    select_kernels(deck);
    MpiCollective collective(ranks);
    const RecordedRouting routing = record_routing(deck, parent_of(path), collective, kTokens);
    const std::int64_t width = deck.model.model.width;
    Report report(
        fmt::format("Dispatch: {} tokens a rank of {} float32 channels, {} of {} experts each",
                    kTokens, width, routing.choices, routing.experts),
        {"traffic", "nodes", "copies across", "copies", "MB across nodes", "MB sent", "raw ms",
         "exchange ms", "raw/exchange", "pack ms", "whole ms", "hidden %", "saved %",
         "no help: hidden %", "no help: saved %"});
    report.fact("ranks", std::to_string(ranks.size()));
    report.fact("pairs", std::to_string(kPairs));
    const std::string& from = deck.init.from;
    report.fact("routing", fmt::format("{} of {}, {}", routing.gate, path,
                                       from.empty() ? "fresh weights" : "weights of " + from));
    report.fact("expert loads", spread(loads(ranks, routing, 1)));
    report.fact("rank loads", spread(loads(ranks, routing, routing.experts / ranks.size())));
    const auto add = [&](const char* name, std::int64_t nodes, bool two_hops) {
      Traffic traffic(ranks, routing, width, nodes, two_hops);
      const TokenCopies copies = traffic.copies();
      const SentBytes bytes = traffic.dispatch_bytes();
      std::vector<std::int64_t> sums = {copies.across, copies.across + copies.inside, bytes.across,
                                        bytes.total()};
      ranks.sum(sums);
      const auto sum = [&](std::size_t i) { return static_cast<double>(sums[i]); };
      const Measured m = measure(ranks, traffic);
      // Raw and exchange are of copies that go straight to their ranks.
      const auto flat = [&](double value, int digits) {
        return two_hops ? Report::none() : Report::number(value, digits);
      };
      report.row(
          {Report::text(name), Report::number(static_cast<double>(nodes), 0),
           Report::number(sum(0), 0), Report::number(sum(1), 0), Report::number(sum(2) / 1e6, 1),
           Report::number(sum(3) / 1e6, 1), flat(1e3 * m.raw, 2), flat(1e3 * m.exchange, 2),
           flat(m.ratio, 3), Report::number(1e3 * m.pack, 2), Report::number(1e3 * m.whole, 2),
           Report::number(100 * m.hidden, 0), Report::number(100 * m.saved, 0),
           Report::number(100 * m.unhelped_hidden, 0), Report::number(100 * m.unhelped_saved, 0)});
    };
    add("flat", 1, false);
    for (std::int64_t nodes = 2; 2 * nodes <= ranks.size(); nodes *= 2) {
      add("flat", nodes, false);
      add("two-hop", nodes, true);
    }
    if (ranks.rank() == 0) print(report, wanted);
    return ExitCode::done;
  });
}

}  // namespace moray
