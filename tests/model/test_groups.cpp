// Batches and meshes of ranks that share the experts of a layer.
#include <map>
#include <set>

#include "catch.hpp"
#include "comm/mesh.hpp"
#include "model/batch_layout.hpp"

using namespace moray;

namespace {

Deal deal_of(const MeshShape& shape, std::int64_t index, std::int64_t lanes,
             std::int64_t expert_lanes) {
  const MeshPlace place = mesh_place(shape, index);
  Deal deal{lanes, expert_lanes, shape.data, place.data, {}};
  for (std::int64_t share = 0; shape.expert > 1 && share < shape.expert; ++share)
    deal.group.push_back(group_member(shape, place, share));
  return deal;
}

}  // namespace

TEST_CASE("the ranks that share experts see the lanes of the experts in order", "[batch_layout]") {
  constexpr std::int64_t kSequences = 64, kLanes = 16, kExpertLanes = 8;
  for (const std::int64_t ranks : {2, 4, 8, 16}) {
    for (const std::int64_t expert : {1, 2, 4, 8, 16}) {
      if (expert > ranks || ranks / expert > kExpertLanes) continue;
      for (const std::int64_t micro : {1, 2, 4}) {
        const MeshShape shape{.data = ranks, .expert = expert};
        // Per share of the experts and lane, what its ranks accumulate.
        std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::int64_t>> found;
        for (std::int64_t index = 0; index < ranks; ++index) {
          const MeshPlace place = mesh_place(shape, index);
          const Deal deal = deal_of(shape, index, kLanes, kExpertLanes);
          BatchLayout batch(micro, expert);
          for (std::int64_t i = 0; i < kSequences / ranks / micro; ++i) {
            batch.assign(deal, i, micro);
            for (const LaneSegment& s : batch.expert_segments()) {
              for (std::int64_t at = s.first; at < s.first + s.sequences; ++at) {
                const auto number =
                    static_cast<std::size_t>(batch.expert_order()[static_cast<std::size_t>(at)]);
                found[{place.share, s.lane * deal.replicas() + place.replica}].push_back(
                    batch.group_global()[number]);
              }
            }
          }
        }
        REQUIRE(static_cast<std::int64_t>(found.size()) == expert * kExpertLanes);
        for (const auto& [where, sequences] : found) {
          std::vector<std::int64_t> expected;
          for (std::int64_t g = where.second; g < kSequences; g += kExpertLanes)
            expected.push_back(g);
          CHECK(sequences == expected);
        }
      }
    }
  }
}

TEST_CASE("a mesh gives every rank one place, and groups are neighbours", "[mesh]") {
  for (const bool exact : {true, false}) {
    for (const auto& [ranks, expert] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {8, 1}, {8, 4}, {16, 2}, {16, 16}}) {
      const MeshShape shape{.data = ranks, .expert = expert, .exact = exact};
      std::set<std::int64_t> data;
      for (std::int64_t index = 0; index < ranks; ++index) {
        const MeshPlace place = mesh_place(shape, index);
        data.insert(place.data);
        CHECK(group_member(shape, place, place.share) == place.data);
        // The group of a rank is the ranks around it.
        const std::int64_t first = index / expert * expert;
        for (std::int64_t other = first; other < first + expert; ++other) {
          CHECK(mesh_place(shape, other).replica == place.replica);
          CHECK(mesh_place(shape, other).share == other - first);
        }
        // Ranks that fold first are next to each other.
        if (exact && ranks > 1)
          CHECK(mesh_place(shape, index ^ 1).data == (place.data ^ (ranks / 2)));
      }
      CHECK(static_cast<std::int64_t>(data.size()) == ranks);
    }
  }
}
