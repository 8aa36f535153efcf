#include <map>

#include "catch.hpp"
#include "model/batch_layout.hpp"
#include "pipeline/pipeline.hpp"

using namespace moray;

namespace {

/// The sequences of a step in the order in which a layout adds them to a stage's gradient, by lane.
using LaneChains = std::map<std::int64_t, std::vector<std::int64_t>>;

struct Sizes {
  int data_ranks;
  std::int64_t lanes;
  std::int64_t micro;  ///< b
};

/// Runs the weight gradients of all ranks that hold a copy of `stage`.
LaneChains chains_of(const PipelineSchedule& schedule, const Sizes& sizes, int stage) {
  LaneChains chains;
  const PipelineShape& shape = schedule.shape;
  BatchLayout layout(sizes.micro);
  for (int data_rank = 0; data_rank < sizes.data_ranks; ++data_rank) {
    for (int stream = 0; stream < shape.streams(); ++stream) {
      const StreamShare share = stream_share(shape, data_rank, sizes.data_ranks, stream);
      const Deal deal{sizes.lanes, sizes.lanes, share.ranks, share.rank};
      const int rank = shape.rank_of(stage, stream);
      const int chunk = shape.chunk_of(stage, stream);
      for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
        if (!op.has_weight_gradient() || op.backward.chunk != chunk) continue;
        layout.assign(deal, op.backward.micro, sizes.micro);
        for (const std::int64_t g : layout.global()) chains[g % sizes.lanes].push_back(g);
      }
    }
  }
  return chains;
}

}  // namespace

TEST_CASE("every schedule adds the sequences of each lane in increasing order", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const Sizes& sizes : {Sizes{1, 2, 1}, {2, 8, 1}, {2, 8, 4}, {4, 8, 2}}) {
      const int micro_batches = sizes.micro == 1 ? 6 : 12;
      const PipelineSchedule schedule = make_schedule({kind, 4, micro_batches});
      const std::int64_t sequences = micro_batches * sizes.micro * sizes.data_ranks;
      for (int stage = 0; stage < schedule.shape.stages(); ++stage) {
        CAPTURE(schedule_name(kind), sizes.data_ranks, sizes.lanes, sizes.micro, stage);
        const LaneChains chains = chains_of(schedule, sizes, stage);
        for (std::int64_t lane = 0; lane < sizes.lanes; ++lane) {
          std::vector<std::int64_t> expected;  // every sequence of the lane, once, in order
          for (std::int64_t g = lane; g < sequences; g += sizes.lanes) expected.push_back(g);
          CAPTURE(lane);
          CHECK(chains.at(lane) == expected);
        }
      }
    }
  }
}

TEST_CASE("the two directions of a data rank are neighbours, so their fold is the last one",
          "[pipeline]") {
  const PipelineShape shape{ScheduleKind::dualpipe, 4, 8};
  for (int data_rank = 0; data_rank < 8; ++data_rank) {
    const StreamShare a = stream_share(shape, data_rank, 8, 0);
    const StreamShare b = stream_share(shape, data_rank, 8, 1);
    CHECK((a.rank ^ b.rank) == 1);  // partner at distance 1, after R / 2, R / 4, ..., 2
    CHECK(a.ranks == 16);
    // Both ends are the same two pipeline ranks for every pair of mirrored stages.
    for (int stage = 0; stage < 4; ++stage)
      CHECK(shape.rank_of(stage, 0) == shape.rank_of(3 - stage, 1));
  }
}
