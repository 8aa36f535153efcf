#include "model/batch_layout.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {
namespace {

/// Merges runs of equal lanes; lane_of(i) is the lane of position i.
template <class LaneOf>
void find_segments(std::int64_t count, const LaneOf& lane_of, std::vector<LaneSegment>& segments) {
  segments.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    if (segments.empty() || segments.back().lane != lane_of(i))
      segments.push_back({i, 0, lane_of(i)});
    ++segments.back().sequences;
  }
}

}  // namespace

BatchLayout::BatchLayout(std::int64_t sequences, std::int64_t members) {
  const auto room = static_cast<std::size_t>(sequences);
  const auto group = static_cast<std::size_t>(sequences * members);
  global_.reserve(room);
  segments_.reserve(room);
  group_global_.reserve(group);
  expert_order_.reserve(group);
  expert_segments_.reserve(group);
}

void BatchLayout::assign(const Deal& deal, std::int64_t index, std::int64_t sequences) {
  MORAY_REQUIRE(sequences <= static_cast<std::int64_t>(global_.capacity()));
  const std::int64_t lanes = deal.local_lanes();
  const std::int64_t expert_lanes = deal.local_expert_lanes();
  MORAY_REQUIRE(lanes >= 1 && expert_lanes >= 1);
  // The i-th sequence of a rank is g = J + R i, so its local lane is i mod (L / R); the group's
  // are those with g mod (R / members) = c.
  const auto lane = [&](std::int64_t g) { return g / deal.data_ranks % lanes; };
  const auto expert_lane = [&](std::int64_t g) { return g / deal.replicas() % expert_lanes; };
  const auto by = [](auto lane_of) {
    return [lane_of](std::int64_t a, std::int64_t b) {
      return lane_of(a) != lane_of(b) ? lane_of(a) < lane_of(b) : a < b;
    };
  };
  const auto deal_rank = [&](std::int64_t rank, std::vector<std::int64_t>& out) {
    const std::size_t begin = out.size();
    for (std::int64_t i = 0; i < sequences; ++i)
      out.push_back(rank + deal.data_ranks * (index * sequences + i));
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), by(lane));
  };
  global_.clear();
  deal_rank(deal.rank, global_);
  group_global_.clear();
  if (deal.group.empty()) deal_rank(deal.rank, group_global_);
  for (const std::int64_t rank : deal.group) deal_rank(rank, group_global_);
  expert_order_.clear();
  for (std::size_t i = 0; i < group_global_.size(); ++i)
    expert_order_.push_back(static_cast<std::int32_t>(i));
  const auto group = [&](std::int32_t i) { return group_global_[static_cast<std::size_t>(i)]; };
  std::sort(expert_order_.begin(), expert_order_.end(),
            [&](std::int32_t a, std::int32_t b) { return by(expert_lane)(group(a), group(b)); });
  find_segments(
      sequences, [&](std::int64_t i) { return lane(global_[static_cast<std::size_t>(i)]); },
      segments_);
  find_segments(
      static_cast<std::int64_t>(expert_order_.size()),
      [&](std::int64_t i) {
        return expert_lane(group(expert_order_[static_cast<std::size_t>(i)]));
      },
      expert_segments_);
}

}  // namespace moray
