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

BatchLayout::BatchLayout(std::int64_t sequences) {
  const auto room = static_cast<std::size_t>(sequences);
  global_.reserve(room);
  segments_.reserve(room);
  expert_order_.reserve(room);
  expert_segments_.reserve(room);
}

void BatchLayout::assign(const Deal& deal, std::int64_t index, std::int64_t sequences) {
  MORAY_REQUIRE(sequences <= static_cast<std::int64_t>(global_.capacity()));
  const std::int64_t lanes = deal.local_lanes();
  const std::int64_t expert_lanes = deal.local_expert_lanes();
  MORAY_REQUIRE(lanes >= 1 && expert_lanes >= 1);
  // The i-th sequence of this rank is g = J + R i, so its local lane is i mod (L / R).
  const auto lane = [&](std::int64_t g) { return g / deal.data_ranks % lanes; };
  const auto expert_lane = [&](std::int64_t g) { return g / deal.data_ranks % expert_lanes; };
  global_.clear();
  expert_order_.clear();
  for (std::int64_t i = 0; i < sequences; ++i) {
    global_.push_back(deal.rank + deal.data_ranks * (index * sequences + i));
    expert_order_.push_back(static_cast<std::int32_t>(i));
  }
  const auto by = [](auto lane_of) {
    return [lane_of](std::int64_t a, std::int64_t b) {
      return lane_of(a) != lane_of(b) ? lane_of(a) < lane_of(b) : a < b;
    };
  };
  std::sort(global_.begin(), global_.end(), by(lane));
  std::sort(expert_order_.begin(), expert_order_.end(), [&](std::int32_t a, std::int32_t b) {
    return by(expert_lane)(global_[static_cast<std::size_t>(a)],
                           global_[static_cast<std::size_t>(b)]);
  });
  find_segments(
      sequences, [&](std::int64_t i) { return lane(global_[static_cast<std::size_t>(i)]); },
      segments_);
  find_segments(
      sequences,
      [&](std::int64_t i) {
        return expert_lane(
            global_[static_cast<std::size_t>(expert_order_[static_cast<std::size_t>(i)])]);
      },
      expert_segments_);
}

}  // namespace moray
