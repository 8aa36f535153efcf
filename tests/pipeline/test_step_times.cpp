#include "catch.hpp"
#include "pipeline/step_times.hpp"
#include "pipeline/trace.hpp"

using namespace moray;

namespace {

Recorder::Span span(double begin, double end, Phase phase, PhasePart part = PhasePart::F) {
  return {begin, end, phase, part, 0};
}

/// 1F1B on two ranks with one micro-batch: F and BW on rank 0, between them the same on rank 1.
const PipelineSchedule kSchedule = make_schedule({ScheduleKind::one_f_one_b, 2, 1});

/// Rank 0 computes from 1 to 3 and from 8 to 10. Rank 1 asks for its message at 2, gets it at 3.5,
/// computes until 7; in the middle it waits for tokens from 4.5 to 4.75.
std::vector<std::vector<RankTimes>> measured() {
  RankTimes first, last;
  first.ops = {{1, 1, 3, 0}, {3, 8, 10, 0}};
  last.ops = {{2, 3.5, 5, 0.25}, {5, 5, 7, 0}};
  return {{first, last}};
}

}  // namespace

TEST_CASE("what a rank did in a step is told from events and spans", "[pipeline]") {
  const PipelineOp f{OpKind::F, {0, 0}, {}};
  const PipelineOp b{OpKind::BW, {}, {0, 0}};
  const std::vector<TimelineEvent> events = {{f, 1, 4}, {b, 6, 9}};
  const std::vector<Recorder::Span> spans = {
      span(100.5, 100.75, Phase::message),
      span(100.75, 100.875, Phase::message),
      span(101, 102, Phase::attention),
      span(102, 103, Phase::dispatch_start),
      span(102.25, 102.75, Phase::counts),
      span(103, 103.5, Phase::dispatch_finish),
      span(103, 103.25, Phase::tokens),
      span(104.5, 106, Phase::message),
      span(106, 107, Phase::experts, PhasePart::B),
      span(107, 109, Phase::experts, PhasePart::W),
      span(109.5, 110, Phase::message),  // of no op: sends that end
      span(110, 112, Phase::reduce),
      span(112, 113, Phase::update),
  };
  const RankTimes times = rank_times(events, 100, spans);
  REQUIRE(times.ops.size() == 2);
  CHECK(times.ops[0].asked == 100.5);
  CHECK(times.ops[0].start == 101);
  CHECK(times.ops[0].end == 104);
  CHECK(times.ops[0].tokens == 0.75);
  CHECK(times.ops[1].asked == 104.5);
  CHECK(times.ops[1].tokens == 0);
  CHECK(times.phases[0][0].seconds == 1);
  CHECK(times.phases[1][0].seconds == 1.5);  // dispatch: start and finish
  CHECK(times.phases[1][0].waited == 0.75);
  CHECK(times.phases[2][1].seconds == 1);
  CHECK(times.phases[2][2].seconds == 2);
  CHECK(times.phases[2][2].waited == 0);
  CHECK(times.reduce == 2);
  CHECK(times.update == 1);
  // Without stages and spans an op waits for nothing.
  CHECK(rank_times(events, 0, {}).ops[1].asked == 6);
}

TEST_CASE("a step's time is computing, waiting for messages on their way, or bubble",
          "[pipeline]") {
  const TimeShares shares = time_shares(kSchedule, measured(), 10);
  CHECK(shares.computing == (4 + 3.5 - 0.25) / 20);
  CHECK(shares.tokens == 0.25 / 20);
  // Rank 1 asked at 2, the message was sent at 3; rank 0 asked at 3, its message was sent at 7.
  CHECK(shares.stages == (0.5 + 1) / 20);
  CHECK(shares.bubble == Approx((20 - 4 - 3.5 - 1.5) / 20));
  // Two pipelines that did the same.
  const auto one = measured()[0];
  CHECK(time_shares(kSchedule, {one, one}, 10).stages == shares.stages);
}

TEST_CASE("a timeline is made of lists and times", "[pipeline]") {
  const PipelineTimeline timeline = timeline_of(kSchedule, measured()[0]);
  REQUIRE(timeline.ranks.size() == 2);
  CHECK(timeline.ranks[1][0].op == kSchedule.ops[1][0]);
  CHECK(timeline.ranks[1][0].start == 3.5);
  CHECK(timeline.end() == 10);
  CHECK(timeline.idle(1) == 6.5);
}

TEST_CASE("a trace shows phases in their ops, by name", "[pipeline]") {
  const PipelineTimeline timeline = timeline_of(kSchedule, measured()[0]);
  NamedTimeline named{"measured", &timeline};
  named.spans = {{}, {span(3.5, 4.5, Phase::dispatch_start), span(4.5, 4.75, Phase::tokens)}};
  named.tracks = {"a", "b"};
  const std::string trace = perfetto_trace({named}, 1);
  CHECK(trace.find(R"("args":{"name":"b"})") != std::string::npos);
  CHECK(trace.find(
            R"("tid":1,"name":"dispatch start F, layer 0","cat":"phase","ts":3.500,"dur":1.000)") !=
        std::string::npos);
  CHECK(trace.find(R"("name":"waits for tokens","cat":"phase","ts":4.500,"dur":0.250)") !=
        std::string::npos);
}
