// Where tokens go: means over all choices of groups and experts by going through every one of them.
#include "moe/token_links.hpp"

#include <bit>

#include "catch.hpp"
#include "moe/row_format.hpp"

using namespace moray;

namespace {

/// Calls visit(subset) for every one of `k` out of `from`.
template <class Visit>
void visit_subsets(const std::vector<std::int32_t>& from, std::int64_t k, const Visit& visit) {
  for (unsigned mask = 0; mask < 1u << from.size(); ++mask) {
    if (std::popcount(mask) != k) continue;
    std::vector<std::int32_t> subset;
    for (std::size_t i = 0; i < from.size(); ++i)
      if ((mask >> i & 1u) != 0) subset.push_back(from[i]);
    visit(subset);
  }
}

/// Calls visit(experts, probability) for every choice of groups and of experts in them.
template <class Visit>
void visit_choices(const MoeConfig& moe, const Visit& visit) {
  std::vector<std::int32_t> groups;
  for (std::int32_t g = 0; g < moe.groups; ++g) groups.push_back(g);
  std::vector<std::vector<std::int32_t>> all;
  const auto in_group = static_cast<std::int32_t>(moe.experts / moe.groups);
  visit_subsets(groups, moe.top_groups, [&](const std::vector<std::int32_t>& chosen) {
    std::vector<std::int32_t> experts;
    for (const std::int32_t g : chosen)
      for (std::int32_t e = 0; e < in_group; ++e) experts.push_back(g * in_group + e);
    visit_subsets(experts, moe.top_k,
                  [&](const std::vector<std::int32_t>& choice) { all.push_back(choice); });
  });
  for (const auto& choice : all) visit(choice, 1 / static_cast<double>(all.size()));
}

MoeConfig limited(std::int64_t experts, std::int64_t top_k, std::int64_t groups,
                  std::int64_t top_groups) {
  MoeConfig moe;
  moe.experts = experts;
  moe.top_k = top_k;
  moe.groups = groups;
  moe.top_groups = top_groups;
  return moe;
}

const MoeConfig kModels[] = {limited(16, 3, 1, 1), limited(16, 4, 4, 2),  limited(16, 2, 8, 3),
                             limited(12, 4, 3, 2), limited(16, 16, 4, 4), limited(16, 8, 4, 2)};

}  // namespace

TEST_CASE("the chance that a token goes to a range of experts is that of all choices", "[links]") {
  for (const MoeConfig& moe : kModels) {
    for (std::int64_t first = 0; first < moe.experts; ++first) {
      for (std::int64_t end = first + 1; end <= moe.experts; ++end) {
        double expected = 0;
        visit_choices(moe, [&](const std::vector<std::int32_t>& choice, double chance) {
          for (const std::int32_t e : choice)
            if (e >= first && e < end) return static_cast<void>(expected += chance);
        });
        CAPTURE(moe.experts, moe.top_k, moe.groups, moe.top_groups, first, end);
        CHECK(chance_of_any(moe, first, end) == Approx(expected).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("mean flows of tokens are those of all choices, from every rank", "[links]") {
  for (const MoeConfig& moe : kModels) {
    for (const std::int64_t shares : {2, 4}) {
      for (const std::int64_t node_ranks : {0, 1, 2}) {
        if (node_ranks >= shares) continue;
        for (const bool two_hops : {false, true}) {
          if (two_hops && node_ranks == 0) continue;
          CAPTURE(moe.experts, moe.top_k, moe.groups, moe.top_groups, shares, node_ranks, two_hops);
          ExpertShare group{.shares = shares, .node_ranks = node_ranks, .two_hops = two_hops};
          std::vector<TokenFlow> expected(static_cast<std::size_t>(shares));
          for (group.share = 0; group.share < shares; ++group.share) {
            visit_choices(moe, [&](const std::vector<std::int32_t>& choice, double chance) {
              std::vector<TokenFlow> flows(expected.size());
              add_flows(group, moe.experts, moe.top_k, choice, flows);
              for (std::size_t s = 0; s < flows.size(); ++s) {
                expected[s].inside_out += chance * flows[s].inside_out;
                expected[s].inside_in += chance * flows[s].inside_in;
                expected[s].across_out += chance * flows[s].across_out;
                expected[s].across_in += chance * flows[s].across_in;
              }
            });
          }
          const std::vector<TokenFlow> flows = even_flows(group, moe);
          for (std::size_t s = 0; s < flows.size(); ++s) {
            CHECK(flows[s].inside_out == Approx(expected[s].inside_out).margin(1e-12));
            CHECK(flows[s].inside_in == Approx(expected[s].inside_in).margin(1e-12));
            CHECK(flows[s].across_out == Approx(expected[s].across_out).margin(1e-12));
            CHECK(flows[s].across_in == Approx(expected[s].across_in).margin(1e-12));
          }
        }
      }
    }
  }
}

TEST_CASE("a token of DeepSeek-V3 crosses to fewer nodes than it has experts", "[links]") {
  // 256 experts over 8 nodes of 8 ranks, each node a group, of which 4 are chosen (report, section 3.2.2).
  const ExpertShare group{.shares = 64, .node_ranks = 8, .two_hops = true};
  const TokenFlow flow = even_flows(group, limited(256, 8, 8, 4))[0];
  CHECK(flow.across_out < 4);
  CHECK(flow.across_out > 3);
  CHECK(even_flows(group, limited(256, 8, 1, 1))[0].across_out > 4.5);
}

/// Of DeepSeek-V3, width 7168: a byte a channel and a byte for each 128 of them; bf16 back.
TEST_CASE("a token takes these bytes on the wire", "[links]") {
  CHECK(row_bytes<float>(RowFormat::e4m3, 7168) == 7168 + 56);
  CHECK(row_bytes<float>(RowFormat::bf16, 7168) == 14336);
  CHECK(row_bytes<float>(RowFormat::real, 7168) == 28672);
  CHECK(row_bytes<float>(RowFormat::e4m3, 130) == 132);  // 130 + 2
  CHECK(row_bytes<float>(RowFormat::e4m3, 129) == 132);  // 129 + 2 + 1 to a whole word
  CHECK(sum_bytes<float>(RowFormat::e4m3, 7168) == 14336);
  CHECK(sum_bytes<float>(RowFormat::bf16, 7168) == 14336);
  CHECK(sum_bytes<float>(RowFormat::real, 7168) == 28672);
}
