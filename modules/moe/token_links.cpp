#include "moe/token_links.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "moe/row_format.hpp"

namespace moray {
namespace {

/// Ranks of a node of the group; all of them when it lies in one.
std::int64_t node_ranks(const ExpertShare& group) {
  return group.node_ranks > 0 ? group.node_ranks : group.shares;
}

/// Probability that none of K of E experts is among n of them.
double chance_of_none(std::int64_t experts, std::int64_t choices, std::int64_t n) {
  double chance = 1;
  for (std::int64_t k = 0; k < choices; ++k) {
    chance *= static_cast<double>(std::max<std::int64_t>(experts - n - k, 0)) /
              static_cast<double>(experts - k);
  }
  return chance;
}

/// n over k.
double combinations(std::int64_t n, std::int64_t k) {
  if (k < 0 || k > n) return 0;
  double result = 1;
  for (std::int64_t i = 1; i <= k; ++i)
    result = result * static_cast<double>(n - k + i) / static_cast<double>(i);
  return result;
}

}  // namespace

void add_flows(const ExpertShare& group, std::int64_t experts, std::int64_t top_k,
               std::span<const std::int32_t> selected, std::span<TokenFlow> flows) {
  MORAY_REQUIRE(static_cast<std::int64_t>(flows.size()) == group.shares);
  const std::int64_t local = group.count(experts), ranks = node_ranks(group);
  const std::int64_t from = group.share, place = from % ranks;
  const auto flow = [&](std::int64_t share) -> TokenFlow& {
    return flows[static_cast<std::size_t>(share)];
  };
  const auto copy = [&](std::int64_t a, std::int64_t b) {
    if (a == b) return;
    const bool inside = a / ranks == b / ranks;
    ++(inside ? flow(a).inside_out : flow(a).across_out);
    ++(inside ? flow(b).inside_in : flow(b).across_in);
  };
  for (std::size_t t = 0; t < selected.size(); t += static_cast<std::size_t>(top_k)) {
    std::int64_t last = -1, last_node = -1;
    for (std::size_t k = t; k < t + static_cast<std::size_t>(top_k); ++k) {
      const std::int64_t to = selected[k] / local, node = to / ranks;
      if (to == last) continue;
      last = to;
      if (!group.two_hops) {
        copy(from, to);
        continue;
      }
      const std::int64_t relay = node * ranks + place;
      if (node != last_node) copy(from, relay);
      last_node = node;
      copy(relay, to);
    }
  }
}

double chance_of_any(const MoeConfig& moe, std::int64_t first, std::int64_t end) {
  const std::int64_t in_group = moe.experts / moe.groups;
  // ways[chosen][covered]: of the groups that reach into [first, end), how many choices take `chosen`, with
  // `covered` experts there.
  const auto most = static_cast<std::size_t>(end - first);
  std::vector<std::vector<double>> ways(1, std::vector<double>(most + 1));
  ways[0][0] = 1;
  std::int64_t touched = 0;
  for (std::int64_t group = 0; group < moe.groups; ++group) {
    const std::int64_t covers =
        std::min(end, (group + 1) * in_group) - std::max(first, group * in_group);
    if (covers <= 0) continue;
    ++touched;
    ways.emplace_back(most + 1);
    for (std::size_t chosen = ways.size() - 1; chosen > 0; --chosen) {
      for (std::size_t n = static_cast<std::size_t>(covers); n <= most; ++n)
        ways[chosen][n] += ways[chosen - 1][n - static_cast<std::size_t>(covers)];
    }
  }
  double none = 0;
  for (std::size_t chosen = 0; chosen < ways.size(); ++chosen) {
    const double others =
        combinations(moe.groups - touched, moe.top_groups - static_cast<std::int64_t>(chosen));
    for (std::size_t n = 0; n <= most; ++n) {
      none += ways[chosen][n] * others *
              chance_of_none(moe.top_groups * in_group, moe.top_k, static_cast<std::int64_t>(n));
    }
  }
  return 1 - none / combinations(moe.groups, moe.top_groups);
}

std::vector<TokenFlow> even_flows(const ExpertShare& group, const MoeConfig& moe) {
  const std::int64_t ranks = node_ranks(group), nodes = group.shares / ranks;
  const std::int64_t local = group.count(moe.experts);
  std::vector<double> rank, node, ranks_of_node;  // chances that a token goes there
  double all_ranks = 0, all_nodes = 0;
  for (std::int64_t n = 0; n < nodes; ++n) {
    ranks_of_node.push_back(0);
    for (std::int64_t r = n * ranks; r < (n + 1) * ranks; ++r) {
      rank.push_back(chance_of_any(moe, r * local, (r + 1) * local));
      ranks_of_node.back() += rank.back();
    }
    node.push_back(chance_of_any(moe, n * ranks * local, (n + 1) * ranks * local));
    all_ranks += ranks_of_node.back();
    all_nodes += node.back();
  }
  std::vector<TokenFlow> flows;
  for (std::int64_t share = 0; share < group.shares; ++share) {
    const auto s = static_cast<std::size_t>(share), n = static_cast<std::size_t>(share / ranks);
    // With two hops a rank hands on what comes to it from its place in every node.
    const double handed = group.two_hops ? static_cast<double>(nodes) : 1;
    TokenFlow flow;
    flow.inside_out = handed * (ranks_of_node[n] - rank[s]);
    flow.inside_in = handed * static_cast<double>(ranks - 1) * rank[s];
    flow.across_out = group.two_hops ? all_nodes - node[n] : all_ranks - ranks_of_node[n];
    flow.across_in = group.two_hops ? static_cast<double>(nodes - 1) * node[n]
                                    : static_cast<double>(group.shares - ranks) * rank[s];
    flows.push_back(flow);
  }
  return flows;
}

TokenRowBytes token_row_bytes(const ModelConfig& model) {
  const ModelSizes& sizes = model.model;
  TokenRowBytes sum;
  double layers = 0;
  for (std::int64_t layer = sizes.dense_layers; layer < sizes.layers + model.mtp.depth; ++layer) {
    const std::string expert = fmt::format("model.layers.{}.mlp.experts.0.", layer);
    const RowFormat x = row_format(model.precision.of(expert + "up_proj.weight"));
    const RowFormat y = row_format(model.precision.of(expert + "down_proj.weight"));
    sum.dispatch += static_cast<double>(row_bytes<float>(x, sizes.width));
    sum.combine += static_cast<double>(sum_bytes<float>(y, sizes.width));
    sum.dispatch_back += static_cast<double>(row_bytes<float>(y, sizes.width));
    sum.combine_back += static_cast<double>(sum_bytes<float>(x, sizes.width));
    ++layers;
  }
  if (layers == 0) return {};
  return {sum.dispatch / layers, sum.combine / layers, sum.dispatch_back / layers,
          sum.combine_back / layers};
}

TokenBytes token_bytes(const ExpertShare& share, const ModelConfig& model, std::int64_t sequences,
                       std::int64_t exchanges, const TokenFlow& flow) {
  const MoeConfig& moe = model.moe;
  if (share.whole() || moe.experts == 0) return {};
  const TokenRowBytes row = token_row_bytes(model);
  const std::int64_t ranks = node_ranks(share), nodes = share.shares / ranks;
  const std::int64_t local = share.count(moe.experts);
  const auto counts = [&](std::int64_t peers, std::int64_t of_sequences, std::int64_t experts) {
    return static_cast<double>(exchanges * peers * of_sequences * (1 + experts) * 4);
  };
  const auto copies = [&](double out, double in, std::int64_t experts) {
    const CopyBytes bytes = copy_bytes(row, std::min(moe.top_k, experts));
    return out * bytes.out + in * bytes.back;
  };
  // What a copy has experts of: a rank's, or with two hops, on the way to a node, all of that.
  const std::int64_t ahead = share.two_hops ? ranks * local : local;
  TokenBytes bytes;
  bytes.inside = copies(flow.inside_out, flow.inside_in, local) +
                 counts(ranks - 1, share.two_hops ? nodes * sequences : sequences, local);
  bytes.across = copies(flow.across_out, flow.across_in, ahead) +
                 counts(share.two_hops ? nodes - 1 : share.shares - ranks, sequences, ahead);
  return bytes;
}

}  // namespace moray
