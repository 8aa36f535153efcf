#include <algorithm>
#include <set>

#include "catch.hpp"
#include "kernels/adamw/adamw.hpp"
#include "optimizer/shards.hpp"

using namespace moray;

namespace {

/// Tensors of these sizes, in one region.
Parameters<float> tensors(const std::vector<std::int64_t>& rows, std::int64_t cols) {
  Parameters<float> parameters;
  for (std::size_t i = 0; i < rows.size(); ++i)
    parameters.declare(Region::dense, cols, {{"t" + std::to_string(i), rows[i]}});
  return parameters;
}

/// Offsets at which blocks begin.
std::set<std::int64_t> borders_of(const Parameters<float>& parameters) {
  std::set<std::int64_t> borders = {0, parameters.size(Region::dense)};
  for (const Parameter& p : parameters.list()) {
    for (std::int64_t i = 0; i < p.elements(); i += kBlockElements) borders.insert(p.offset + i);
  }
  return borders;
}

}  // namespace

TEST_CASE("shards cover every element once, by whole blocks, in shares of like size", "[shards]") {
  const Parameters<float> parameters = tensors({700, 3, 1, 900, 64, 64, 5000}, 128);
  const std::set<std::int64_t> borders = borders_of(parameters);
  const std::int64_t size = parameters.size(Region::dense);
  for (const std::int64_t ranks : {1, 2, 3, 4, 6, 8, 16, 64}) {
    std::vector<ElementRange> owned;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const Shards shards = Shards::of(parameters, Region::dense, ranks, rank);
      const ElementRange mine = shards.owned();
      CHECK(borders.count(mine.begin) == 1);
      CHECK(borders.count(mine.end) == 1);
      if (ranks <= 8) CHECK(mine.size() <= size / ranks + 2 * kBlockElements);
      if (mine.size() > 0) owned.push_back(mine);
      // A part keeps its owners.
      const Shards part = shards.within(kBlockElements, 3 * kBlockElements);
      for (const std::int64_t element :
           {kBlockElements, 2 * kBlockElements, 3 * kBlockElements - 1})
        CHECK((element >= mine.begin && element < mine.end) ==
              (element - kBlockElements >= part.owned().begin &&
               element - kBlockElements < part.owned().end));
    }
    std::sort(owned.begin(), owned.end(),
              [](const ElementRange& a, const ElementRange& b) { return a.begin < b.begin; });
    std::int64_t covered = 0;
    for (const ElementRange& range : owned) {
      CHECK(range.begin == covered);
      covered = range.end;
    }
    CHECK(covered == size);
  }
}

TEST_CASE("partners of a halving keep its two halves, the farthest first", "[shards]") {
  const Parameters<float> parameters = tensors({4096, 4096}, 128);
  for (std::int64_t rank = 0; rank < 8; ++rank) {
    const Shards mine = Shards::of(parameters, Region::dense, 8, rank);
    REQUIRE(mine.path().size() == 4);
    CHECK(mine.distance(0) == 4);
    CHECK(mine.distance(2) == 1);
    for (std::size_t level = 0; level < 3; ++level) {
      const Shards partner = Shards::of(parameters, Region::dense, 8, rank ^ mine.distance(level));
      CHECK(partner.path()[level].begin == mine.path()[level].begin);
      CHECK(partner.path()[level + 1].size() + mine.path()[level + 1].size() ==
            mine.path()[level].size());
    }
  }
}

TEST_CASE("a region without tensors has shards without elements", "[shards]") {
  const Parameters<float> parameters = tensors({2}, 8);
  CHECK(Shards::of(parameters, Region::expert, 4, 3).owned().size() == 0);
}
