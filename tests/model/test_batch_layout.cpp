#include <map>
#include <vector>

#include "catch.hpp"
#include "model/batch_layout.hpp"

using namespace moray;

TEST_CASE("every layout deals the sequences of a step into the same lanes in the same order",
          "[batch_layout]") {
  constexpr std::int64_t kSequences = 64;
  for (const std::int64_t lanes : {16, 32}) {
    for (const std::int64_t expert_lanes : {4, 16}) {
      for (const std::int64_t ranks : {1, 2, 4}) {
        for (const std::int64_t micro : {1, 2, 4, 8, 16}) {
          if (micro > kSequences / ranks) continue;
          std::map<std::int64_t, std::vector<std::int64_t>> dense, expert;
          for (std::int64_t rank = 0; rank < ranks; ++rank) {
            BatchLayout batch(micro);
            const Deal deal{lanes, expert_lanes, ranks, rank};
            for (std::int64_t i = 0; i < kSequences / ranks / micro; ++i) {
              batch.assign(deal, i, micro);
              for (const LaneSegment& s : batch.segments()) {
                for (std::int64_t at = s.first; at < s.first + s.sequences; ++at) {
                  dense[s.lane * ranks + rank].push_back(
                      batch.global()[static_cast<std::size_t>(at)]);
                }
              }
              for (const LaneSegment& s : batch.expert_segments()) {
                for (std::int64_t at = s.first; at < s.first + s.sequences; ++at) {
                  const auto stored =
                      static_cast<std::size_t>(batch.expert_order()[static_cast<std::size_t>(at)]);
                  expert[s.lane * ranks + rank].push_back(batch.global()[stored]);
                }
              }
            }
          }
          const auto dealt = [&](std::int64_t count) {
            std::map<std::int64_t, std::vector<std::int64_t>> expected;
            for (std::int64_t g = 0; g < kSequences; ++g) expected[g % count].push_back(g);
            return expected;
          };
          CHECK(dense == dealt(lanes));
          CHECK(expert == dealt(expert_lanes));
        }
      }
    }
  }
}
