#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/parameters.hpp"

namespace moray {

/// How a flat array is split over the ranks that hold copies of it: ZeRO stage 1 (Rajbhandari et
/// al., 2020) by recursive halving. The array is halved between the partners at distance R / 2, each
/// half between those at R / 4, and so on; the cuts are borders of blocks of 2^16 elements of a
/// tensor, so that a block's sum of squares, its update and its digest have one owner, and of a weight
/// that has a copy in low precision those where rows of its scale blocks begin too.
///
/// Any number of ranks that is not a power of two gets even pieces without halving.
class Shards {
 public:
  /// One rank that owns `size` elements.
  explicit Shards(std::int64_t size = 0) : path_{{0, size}} {}
  /// `borders` in increasing order, from 0 to the size of the array.
  Shards(const std::vector<std::int64_t>& borders, std::int64_t ranks, std::int64_t rank);
  /// Where a region of what this rank holds may be cut.
  static std::vector<std::int64_t> borders(const Parameters<float>& parameters, Region region);
  /// Of such a region.
  static Shards of(const Parameters<float>& parameters, Region region, std::int64_t ranks,
                   std::int64_t rank);

  std::int64_t ranks() const { return ranks_; }
  std::int64_t rank() const { return rank_; }
  ElementRange all() const { return path_.front(); }
  /// What this rank owns.
  ElementRange owned() const { return path_.back(); }
  /// The array, its half that this rank keeps, the half of that, ...: log2(ranks) + 1 ranges.
  const std::vector<ElementRange>& path() const { return path_; }
  /// The rank with which path()[level] is halved is at this distance (an exclusive or).
  std::int64_t distance(std::size_t level) const;
  /// With a number of ranks that is no power of two: what each owns; else empty.
  const std::vector<ElementRange>& pieces() const { return pieces_; }

  /// The same owners for the part [begin, end) of the array, counted from its begin.
  Shards within(std::int64_t begin, std::int64_t end) const;
  /// The same owners of another array, in which what belongs to elements from `border` on begins at
  /// place(border).
  Shards mapped(const std::function<std::int64_t(std::int64_t border)>& place) const;

 private:
  std::int64_t ranks_ = 1;
  std::int64_t rank_ = 0;
  std::vector<ElementRange> path_;
  std::vector<ElementRange> pieces_;
};

/// The shards of both regions.
struct ModelShards {
  Shards regions[kRegions];
  const Shards& operator[](Region region) const {
    return regions[static_cast<std::size_t>(region)];
  }
};

}  // namespace moray
