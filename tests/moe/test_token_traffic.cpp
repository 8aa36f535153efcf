// Tokens to the ranks of their experts and back, on however many ranks the test is started on.
#include <mpi.h>

#include <algorithm>
#include <random>

#include "catch.hpp"
#include "comm/mesh.hpp"
#include "kernels/permute/permute.hpp"
#include "moe/token_traffic.hpp"

using namespace moray;

namespace {

/// MPI for the life of the program.
const Communicator& world() {
  struct Session {
    Session() { MPI_Init(nullptr, nullptr); }
    ~Session() { MPI_Finalize(); }
  };
  static const Session session;
  static const Communicator ranks = Communicator::world();
  return ranks;
}

constexpr std::int64_t kSequences = 2, kRows = 9, kWidth = 5, kExperts = 16, kChoices = 4;
constexpr std::int64_t kTokens = kSequences * kRows;

/// The experts of each token of the rank with a share, in increasing order; `skewed`: all prefer the
/// first experts.
std::vector<std::int32_t> selection(std::int64_t share, bool skewed) {
  std::mt19937 random(static_cast<unsigned>(17 + share));
  std::vector<std::int32_t> selected;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    std::vector<std::int32_t> experts;
    while (static_cast<std::int64_t>(experts.size()) < kChoices) {
      const auto expert = static_cast<std::int32_t>(random() % (skewed ? 5 : kExperts));
      if (std::find(experts.begin(), experts.end(), expert) == experts.end())
        experts.push_back(expert);
    }
    std::sort(experts.begin(), experts.end());
    selected.insert(selected.end(), experts.begin(), experts.end());
  }
  return selected;
}

float token_value(std::int64_t share, std::int64_t token, std::int64_t channel) {
  return 0.1f * static_cast<float>(share + 1) + 0.37f * static_cast<float>(token) +
         0.011f * static_cast<float>(channel);
}
/// What an expert makes of a row.
float expert_value(std::int64_t expert, float x) {
  return x * (1.0f + 0.3f * static_cast<float>(expert));
}
float weight_gradient(std::int64_t expert, float x) {
  return x - static_cast<float>(expert);
}

/// A matrix of the backend from host values (the tests run where the host can read it).
template <class T>
struct Stored {
  explicit Stored(const std::vector<T>& values, std::int64_t cols)
      : view("test", values.size()),
        matrix{view.data(), static_cast<std::int64_t>(values.size()) / cols, cols, cols} {
    copy_to_device(values.data(), values.size(), view.data());
  }
  View1<T> view;
  Matrix<T> matrix;
};

/// What is sent by `relay` is all that was left to send: `finish` sends nothing.
template <class Relay, class Finish>
void check_relayed(const Communicator& ranks, const Relay& relay, const Finish& finish) {
  relay();
  const SentBytes before = ranks.sent();
  relay();  // nothing any more
  finish();
  CHECK(ranks.sent() == before);
}

void check_layout(std::int64_t nodes, bool two_hops, bool skewed, double headroom, bool relays) {
  const Communicator& ranks = world();
  CAPTURE(nodes, two_hops, skewed, headroom, relays);
  const Mesh mesh(ranks, {.data = ranks.size(), .expert = ranks.size(), .nodes = nodes});
  ExpertShare share{.shares = ranks.size(), .share = mesh.place().share, .headroom = headroom};
  share.group = &mesh.expert_group();
  share.node_ranks = mesh.group_node_ranks();
  share.two_hops = two_hops && share.node_ranks > 0;
  if (share.two_hops) {
    share.across = &mesh.across();
    share.inside = &mesh.inside();
  }
  const ExecSpace exec;
  const auto make = [&](Arena& arena) {
    return TokenTraffic<float>(arena, share, kSequences, kTokens, kExperts, kChoices, kWidth);
  };
  Arena arena;
  Arena counted;
  const auto planned = make(counted);
  const std::int64_t bytes = row_bytes<float>(RowFormat::real, kWidth);
  const auto planned_received =
      counted.rows<std::byte>(Memory::activations, planned.planned_tokens(), bytes);
  arena.reserve(counted);
  TokenTraffic<float> traffic = make(arena);
  const Rows<std::byte> received =
      arena.rows<std::byte>(Memory::activations, traffic.planned_tokens(), bytes);

  const std::vector<std::int32_t> selected = selection(share.share, skewed);
  std::vector<float> tokens, weights;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t c = 0; c < kWidth; ++c) tokens.push_back(token_value(share.share, t, c));
    for (std::int64_t k = 0; k < kChoices; ++k)
      weights.push_back(0.25f + 0.01f * static_cast<float>(k));
  }
  const Stored<float> x(tokens, kWidth), w(weights, kChoices);
  const Stored<std::int32_t> s(selected, kChoices);
  BatchLayout batch(kSequences);
  batch.assign(Deal{}, 0, kSequences);
  std::vector<std::int64_t> loads(kExperts);
  traffic.plan(exec, {&batch, kRows}, s.matrix, w.matrix, loads);
  std::int64_t routed = 0;
  for (const std::int64_t load : loads) routed += load;
  CHECK(routed == kTokens * kChoices);
  traffic.announce();
  traffic.dispatch_start(exec, as_bytes<float>(x.matrix), received);
  const auto finish_dispatch = [&] { traffic.dispatch_finish(exec, received); };
  if (relays) {
    check_relayed(
        *share.inside, [&] { traffic.dispatch_relay(exec, received); }, finish_dispatch);
  } else {
    finish_dispatch();
  }

  // Every token of the group with an expert here arrived once, with its row, experts and weights.
  const ChosenTokens& in = traffic.received();
  const std::int64_t local = kExperts / share.shares;
  std::int64_t at = 0;
  std::vector<float> y;
  std::vector<std::int32_t> row_of(static_cast<std::size_t>(in.tokens * in.choices), -1);
  std::vector<float> dweights(row_of.size(), 0.0f);
  for (std::size_t r = 0; r < traffic.sequences().size(); ++r) {
    const std::int64_t number = traffic.sequences()[r];
    const std::int64_t from = number / kSequences;
    const std::vector<std::int32_t> theirs = selection(from, skewed);
    std::int64_t arrived = 0;
    for (std::int64_t i = 0; i < kRows; ++i) {
      const std::int64_t token = number % kSequences * kRows + i;
      std::int64_t found = 0;
      for (std::int64_t k = 0; k < kChoices; ++k) {
        const std::int32_t expert = theirs[static_cast<std::size_t>(token * kChoices + k)];
        if (expert / local != share.share) continue;
        const auto choice = static_cast<std::size_t>(at * in.choices + found++);
        REQUIRE(in.experts[choice] == expert - share.share * local);
        CHECK(in.weights[choice] == 0.25f + 0.01f * static_cast<float>(k));
        row_of[choice] = static_cast<std::int32_t>(y.size() / kWidth);
        for (std::int64_t c = 0; c < kWidth; ++c)
          y.push_back(expert_value(expert, as_numbers<float>(received->first(in.tokens))(at, c)));
        dweights[choice] = weight_gradient(expert, token_value(from, token, 0));
      }
      if (found == 0) continue;
      if (found < in.choices)
        CHECK(in.experts[static_cast<std::size_t>(at * in.choices + found)] == -1);
      for (std::int64_t c = 0; c < kWidth; ++c)
        CHECK(as_numbers<float>(received->first(in.tokens))(at, c) == token_value(from, token, c));
      ++at;
      ++arrived;
    }
    CHECK(in.sequence_tokens[r] == arrived);
  }
  REQUIRE(at == in.tokens);

  // Combine: the bits of one rank that has all experts.
  const Matrix<float> sums = traffic.sums();
  if (in.tokens > 0) {
    const Stored<float> rows(y, kWidth);
    const Stored<std::int32_t> places(row_of, in.choices), chosen(in.experts, in.choices);
    tree_combine<float>(exec, local, rows.matrix, chosen.matrix, places.matrix, sums);
  }
  std::copy(dweights.begin(), dweights.end(), traffic.dweights().data);
  traffic.combine_start(exec, true);
  const Stored<float> out(std::vector<float>(kTokens * kWidth), kWidth);
  const Stored<float> returned(std::vector<float>(kTokens * kChoices), kChoices);
  const auto finish_combine = [&] { traffic.combine_finish(exec, out.matrix, returned.matrix); };
  if (relays) {
    check_relayed(
        *share.across, [&] { traffic.combine_relay(exec); }, finish_combine);
  } else {
    finish_combine();
  }

  std::vector<float> all_rows;
  std::vector<std::int32_t> all_places;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t k = 0; k < kChoices; ++k) {
      const std::int32_t expert = selected[static_cast<std::size_t>(t * kChoices + k)];
      all_places.push_back(static_cast<std::int32_t>(all_rows.size() / kWidth));
      for (std::int64_t c = 0; c < kWidth; ++c)
        all_rows.push_back(expert_value(expert, token_value(share.share, t, c)));
      CHECK(returned.matrix(t, k) == weight_gradient(expert, token_value(share.share, t, 0)));
    }
  }
  const Stored<float> rows(all_rows, kWidth);
  const Stored<std::int32_t> places(all_places, kChoices);
  const Stored<float> expected(std::vector<float>(kTokens * kWidth), kWidth);
  tree_combine<float>(exec, kExperts, rows.matrix, s.matrix, places.matrix, expected.matrix);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t c = 0; c < kWidth; ++c) CHECK(out.matrix(t, c) == expected.matrix(t, c));
  }

  // What was sent is what the selection says, exactly.
  const TokenCopies counted_copies = traffic.copies();
  const TokenCopies predicted = predicted_copies(share, kExperts, kChoices, selected);
  std::vector<std::int64_t> difference = {counted_copies.across - predicted.across,
                                          counted_copies.inside - predicted.inside,
                                          counted_copies.kept - predicted.kept};
  ranks.sum(difference);
  CHECK(difference == std::vector<std::int64_t>{0, 0, 0});
  std::vector<std::int64_t> grown = {traffic.grown()};
  ranks.sum(grown);
  // Up to K ranks, even experts already send every token everywhere.
  if (skewed && headroom == 1 && ranks.size() > kChoices) CHECK(grown[0] > 0);
  if (headroom >= static_cast<double>(ranks.size())) CHECK(grown[0] == 0);
}

}  // namespace

TEST_CASE("tokens reach their experts and come back with the bits of one rank", "[traffic]") {
  const std::int64_t ranks = world().size();
  for (std::int64_t nodes = 1; nodes <= ranks; nodes *= 2) {
    for (const bool skewed : {false, true}) {
      for (const double headroom : {1.0, 1.5, static_cast<double>(ranks)}) {
        check_layout(nodes, false, skewed, headroom, false);
        if (nodes == 1 || nodes == ranks) continue;
        for (const bool relays : {false, true}) check_layout(nodes, true, skewed, headroom, relays);
      }
    }
  }
}

TEST_CASE("two hops cross to a node once", "[traffic]") {
  // Rank 0 of 4, nodes {0, 1} and {2, 3}, experts 4 a rank: 0-3, 4-7, 8-11, 12-15.
  ExpertShare share{.shares = 4, .share = 0, .node_ranks = 2};
  const std::vector<std::int32_t> selected = {0, 5, 9, 13, 8, 9, 10, 14};
  CHECK(predicted_copies(share, 16, 4, selected) == TokenCopies{4, 1, 1});
  share.two_hops = true;
  // Token 0: kept, 1, crosses to 2, on to 3. Token 1: crosses to 2, on to 3.
  CHECK(predicted_copies(share, 16, 4, selected) == TokenCopies{2, 3, 3});
}
