#include "optimizer/shards.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"
#include "kernels/adamw/adamw.hpp"

namespace moray {
namespace {

/// The border nearest to `element`, the lower one of two.
std::int64_t nearest(const std::vector<std::int64_t>& borders, std::int64_t element) {
  const auto above = std::lower_bound(borders.begin(), borders.end(), element);
  if (above == borders.begin() || *above == element) return *above;
  const auto below = above - 1;
  return element - *below <= *above - element ? *below : *above;
}

}  // namespace

Shards::Shards(const std::vector<std::int64_t>& borders, std::int64_t ranks, std::int64_t rank)
    : ranks_(ranks), rank_(rank), path_{{borders.front(), borders.back()}} {
  MORAY_REQUIRE(borders.front() == 0 && rank >= 0 && rank < ranks);
  if (!std::has_single_bit(static_cast<std::uint64_t>(ranks))) {
    for (std::int64_t r = 0; r < ranks; ++r) {
      pieces_.push_back(
          {nearest(borders, borders.back() / ranks * r),
           nearest(borders, r + 1 == ranks ? borders.back() : borders.back() / ranks * (r + 1))});
    }
    path_.push_back(pieces_[static_cast<std::size_t>(rank)]);
    return;
  }
  const auto levels = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(ranks)));
  for (std::size_t level = 0; level + 1 < levels; ++level) {
    const ElementRange range = path_.back();
    const std::int64_t middle = nearest(borders, range.begin + range.size() / 2);
    const bool low = (rank & distance(level)) == 0;
    path_.push_back(low ? ElementRange{range.begin, middle} : ElementRange{middle, range.end});
  }
}

std::vector<std::int64_t> Shards::borders(const Parameters<float>& parameters, Region region) {
  std::vector<std::int64_t> borders = {0};
  for (const Parameter& p : parameters.list()) {
    if (!p.held || p.region != region) continue;
    for (std::int64_t begin = 0; begin < p.elements(); begin += kBlockElements) {
      if (p.offset + begin > 0 && parameters.may_cut(p, begin)) borders.push_back(p.offset + begin);
    }
  }
  const std::int64_t size = parameters.size(region);
  if (size > 0) borders.push_back(size);
  return borders;
}

Shards Shards::of(const Parameters<float>& parameters, Region region, std::int64_t ranks,
                  std::int64_t rank) {
  return Shards(borders(parameters, region), ranks, rank);
}

std::int64_t Shards::distance(std::size_t level) const {
  return ranks_ >> (level + 1);
}

Shards Shards::within(std::int64_t begin, std::int64_t end) const {
  return mapped([=](std::int64_t border) { return std::clamp(border, begin, end) - begin; });
}

Shards Shards::mapped(const std::function<std::int64_t(std::int64_t)>& place) const {
  Shards result = *this;
  const auto map = [&](ElementRange& range) { range = {place(range.begin), place(range.end)}; };
  std::for_each(result.path_.begin(), result.path_.end(), map);
  std::for_each(result.pieces_.begin(), result.pieces_.end(), map);
  return result;
}

}  // namespace moray
