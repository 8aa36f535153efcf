// sent_bytes DECK LAYOUTS [--even] [--expect-difference] [key=value...]: trains two steps on each layout of a list such as
// "d1, p2d2:zb1p" and compares what every rank sent, by kind, inside its node and across nodes, with what the
// plan says of the deck: exactly. Tokens: for the experts that were chosen, or with --even, where every token
// goes to all experts, from the deck alone. Over all layouts every kind is sent, both ways.
#include <cmath>
#include <set>
#include <utility>

#include "data/data.hpp"
#include "mpi_program.hpp"
#include "planning/link_plan.hpp"
#include "planning/plan.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

/// What the routing of this rank's tokens sends from and to each rank of its group.
class FlowProbe : public Probe<float> {
 public:
  FlowProbe(const ExpertShare& share, const MoeConfig& moe)
      : share_(share), moe_(moe), flows_(static_cast<std::size_t>(share.shares)) {}

  void choices(const char*, Matrix<const std::int32_t> values) override {
    fence(ExecSpace(), "sent_bytes: the selection to the host");
    std::vector<std::int32_t> selected(static_cast<std::size_t>(values.rows * values.cols));
    copy_to_host(values.data, selected.size(), selected.data());
    add_flows(share_, moe_.experts, moe_.top_k, selected, flows_);
    if (!share_.whole()) count_copies(selected);
  }
  void enter(const char*, std::int64_t, const BatchLayout&) override {}
  void rows(const char*, Matrix<const float>, std::int64_t, std::int64_t) override {}
  void expert_rows(const char*, const Route<float>&, Matrix<const float>) override {}
  void lanes(Model<float>&) override {}
  void folded(const Fold&, Vector<const float>) override {}

  /// Of this rank, of all tokens of the group since the last call. Collective over the group.
  TokenFlow take(const Communicator& group) {
    std::vector<std::int64_t> all;
    for (const TokenFlow& flow : flows_)
      for (const double copies : {flow.inside_out, flow.inside_in, flow.across_out, flow.across_in})
        all.push_back(std::llround(copies));
    group.sum(all);
    std::fill(flows_.begin(), flows_.end(), TokenFlow{});
    const std::int64_t* mine = all.data() + 4 * share_.share;
    const auto value = [&](int i) { return static_cast<double>(mine[i]); };
    return {value(0), value(1), value(2), value(3)};
  }

  /// Of the tokens of this rank since the last call, wherever their copies are made.
  FanOut take_fan_out() { return std::exchange(fan_out_, {}); }

 private:
  /// Token by token: the ranks and nodes that have its experts.
  void count_copies(const std::vector<std::int32_t>& selected) {
    const std::int64_t in_node = share_.node_ranks > 0 ? share_.node_ranks : share_.shares;
    const std::int64_t local = moe_.experts / share_.shares;
    const auto top_k = static_cast<std::size_t>(moe_.top_k);
    for (std::size_t t = 0; t < selected.size(); t += top_k) {
      std::set<std::int64_t> ranks, nodes;
      for (std::size_t k = t; k < t + top_k; ++k) {
        ranks.insert(selected[k] / local);
        nodes.insert(selected[k] / local / in_node);
      }
      ++fan_out_.tokens;
      const std::int64_t here = share_.share / in_node;
      for (const std::int64_t node : nodes)
        fan_out_.copies.across += share_.two_hops && node != here;
      for (const std::int64_t rank : ranks) {
        const std::int64_t node = rank / in_node;
        if (!share_.two_hops && node != here) ++fan_out_.copies.across;
        // In two hops it came to the rank of that node which has this one's place there.
        const std::int64_t from = node * in_node + share_.share % in_node;
        if ((share_.two_hops || node == here) && rank != from) ++fan_out_.copies.inside;
      }
    }
  }

  ExpertShare share_;
  MoeConfig moe_;
  std::vector<TokenFlow> flows_;
  FanOut fan_out_;
};

/// Whether the fan-out that all ranks counted is not what is expected of their tokens; says how.
bool wrong_fan_out(const std::string& name, const Communicator& ranks, const FanOut& counted,
                   const FanOut& expected) {
  std::int64_t sums[6] = {counted.tokens,         expected.tokens,       counted.copies.across,
                          expected.copies.across, counted.copies.inside, expected.copies.inside};
  ranks.sum(sums);
  const bool wrong = sums[0] != sums[1] || sums[2] != sums[3] || sums[4] != sums[5];
  if (wrong && ranks.rank() == 0) {
    fmt::print("{}: tokens {} for {}, copies across nodes {} for {}, inside {} for {}\n", name,
               sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]);
  }
  return wrong;
}

/// How many kinds are not what was planned; says which.
std::int64_t differences(const std::string& name, const Communicator& ranks,
                         const LinkBytes& planned, const LinkBytes& sent) {
  std::int64_t wrong = 0;
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    const SentBytes& p = planned.kinds[kind];
    const SentBytes& s = sent.kinds[kind];
    if (p == s) continue;
    ++wrong;
    fmt::print("{}: rank {}: {}: planned {} inside + {} across, sent {} + {}\n", name, ranks.rank(),
               kLinkNames[kind], p.inside, p.across, s.inside, s.across);
  }
  return wrong;
}

std::int64_t train(const NamedLayout& named, const Deck& deck, bool even, const Communicator& ranks,
                   LinkBytes& all) {
  Trainer trainer(deck, ranks);
  Arena plan;
  trainer.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  TrainingData data(deck.data,
                    {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, "."});
  const Trainer::Sample sample = [&](std::uint64_t g, std::span<std::int32_t> tokens) {
    data.sample(g, tokens);
  };
  const LinkPlanner planner(deck);
  const MeshPlace& place = trainer.mesh().place();
  FlowProbe probe(trainer.layout().share, deck.model.moe);
  std::int64_t wrong = 0;
  for (std::int64_t step = 0; step < 2; ++step) {
    // A probe keeps sums from beginning early: without one they do.
    trainer.pass().probe = even ? nullptr : &probe;
    trainer.step(step, sample);
    trainer.pass().probe = nullptr;
    const TokenFlow flow =
        even ? planner.even_flow(place) : probe.take(trainer.mesh().expert_group());
    LinkBytes planned = planner.links(place);
    planned[LinkKind::tokens] = planner.tokens(place, flow);
    wrong += differences(named.name, ranks, planned, trainer.sent());
    FanOut expected = probe.take_fan_out();
    if (even) {  // from the deck alone
      const TrafficPlan traffic = make_plan(deck).traffic;
      const auto tokens = static_cast<double>(trainer.fan_out().tokens);
      expected.tokens = trainer.fan_out().tokens;
      expected.copies.across = std::llround(traffic.across * tokens);
      expected.copies.inside = std::llround(traffic.inside * tokens);
    }
    wrong += wrong_fan_out(named.name, ranks, trainer.fan_out(), expected);
    all += trainer.sent();
    trainer.evaluate(3, sample);  // is no part of a step
  }
  return wrong;
}

int run(const std::string& path, const std::string& list, std::vector<std::string> keys,
        const Communicator& world) {
  const bool even = std::erase(keys, "--even") > 0;
  const bool fault = std::erase(keys, "--expect-difference") > 0;
  std::int64_t wrong = 0;
  LinkBytes all;
  test::for_each_layout(
      path, list, keys, world,
      [&](const NamedLayout& layout, const Deck& deck, const Communicator& ranks) {
        LinkBytes sent;
        std::int64_t differ = train(layout, deck, even, ranks, sent);
        ranks.sum(std::span(&differ, 1));
        wrong += differ;
        all += sent;
        std::int64_t bytes = sent.total().total();
        ranks.sum(std::span(&bytes, 1));
        if (world.rank() == 0)
          fmt::print("{}: {} bytes of {} ranks, {} differences\n", layout.name, bytes, ranks.size(),
                     differ);
      });
  for (std::size_t kind = 0; kind < kLinkNames.size(); ++kind) {
    std::int64_t both[2] = {all.kinds[kind].inside, all.kinds[kind].across};
    world.sum(both);
    if ((both[0] > 0 && both[1] > 0) || fault) continue;
    ++wrong;
    if (world.rank() == 0)
      fmt::print("{}: {} inside, {} across: no layout tests it\n", kLinkNames[kind], both[0],
                 both[1]);
  }
  world.maximum(std::span(&wrong, 1));
  return (wrong > 0) == fault ? 0 : 1;
}

}  // namespace
}  // namespace moray

int main(int argc, char** argv) {
  return moray::test::run_on_ranks(argc, argv, [&](const moray::Communicator& world) {
    return moray::run(argv[1], argv[2], {argv + 3, argv + argc}, world);
  });
}
