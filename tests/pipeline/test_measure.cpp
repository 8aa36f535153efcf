#include <random>

#include "catch.hpp"
#include "pipeline/measure.hpp"

using namespace moray;

TEST_CASE("durations come back from a timeline", "[pipeline]") {
  std::mt19937 random(3);
  const auto some = [&] { return static_cast<double>(16 + random() % 32); };
  for (const ScheduleKind kind : kScheduleKinds) {
    CAPTURE(schedule_name(kind));
    const PipelineSchedule schedule = make_schedule({kind, 4, 16});
    PipelineDurations durations;
    for (int s = 0; s < schedule.shape.stages(); ++s) {
      StageDurations d{some(), some(), some(), 0};
      d.overlapped = d.forward + d.input_gradient + d.weight_gradient - 8;
      durations.stages.push_back(d);
    }
    PipelineTimeline ran = simulate(schedule, durations);
    const PipelineDurations seen = measured_durations(ran);
    REQUIRE(seen.stages.size() == durations.stages.size());
    for (std::size_t s = 0; s < seen.stages.size(); ++s) {
      CAPTURE(s);
      const StageDurations& is = seen.stages[s];
      const StageDurations& was = durations.stages[s];
      CHECK(is.forward == was.forward);
      CHECK(is.input_gradient + is.weight_gradient == was.input_gradient + was.weight_gradient);
      if (kind != ScheduleKind::one_f_one_b) CHECK(is.weight_gradient == was.weight_gradient);
      if (schedule.shape.chunks() == 2) CHECK(is.overlapped == was.overlapped);
    }
    // So the plan of what was seen is what ran.
    const PipelineTimeline planned = simulate(schedule, seen);
    CHECK(planned.end() == ran.end());
    // One op that took ten times as long is no reason for another plan.
    TimelineEvent& slow = ran.ranks[0].front();
    slow.start -= 9 * (slow.end - slow.start);
    CHECK(simulate(schedule, measured_durations(ran)).end() == planned.end());
  }
}

TEST_CASE("no op of a plan takes less than nothing, however its parts were disturbed",
          "[pipeline]") {
  const PipelineSchedule schedule = make_schedule({ScheduleKind::dualpipe, 4, 16});
  const PipelineDurations even = {{{4, 4, 4, 8}}, 0};
  PipelineTimeline ran = simulate(schedule, even);
  // Of one stage all backwards alone took long, of the stage that shares its ranks all forwards alone: a
  // pair of the other two seems to save more than it takes.
  for (const std::size_t rank : {1U, 2U}) {
    for (TimelineEvent& e : ran.ranks[rank]) {
      const bool forward = e.op.has_forward();
      const Unit unit = forward ? e.op.forward : e.op.backward;
      const int slow = forward ? 2 : 1;
      if (e.op.kind != OpKind::FB && ran.shape.stage(static_cast<int>(rank), unit.chunk) == slow)
        e.start = e.end - 20 * (e.end - e.start);
    }
  }
  for (const PipelineDurations& seen : {measured_durations(ran), even}) {
    for (const auto& ops : simulate(schedule, seen).ranks) {
      for (std::size_t i = 0; i < ops.size(); ++i) {
        CHECK(ops[i].end >= ops[i].start);
        if (i > 0) CHECK(ops[i].start >= ops[i - 1].end);
      }
    }
  }
}

TEST_CASE("what of a stage is measured on its own follows from the lists", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (int ranks = 2; ranks <= 8; ranks += 2) {
      for (int n = 2; n <= 2 * ranks + 4; n += 2) {
        CAPTURE(schedule_name(kind), ranks, n);
        const PipelineSchedule schedule = make_schedule({kind, ranks, n});
        const std::vector<StageOps> ops = stage_ops(schedule);
        const PipelineTimeline ran = simulate(schedule, {{{7, 5, 3, 11}}, 0});
        const PipelineDurations seen = measured_durations(ran);
        for (int s = 0; s < schedule.shape.stages(); ++s) {
          CAPTURE(s);
          const StageOps& is = ops[static_cast<std::size_t>(s)];
          const StageDurations& d = seen.stages[static_cast<std::size_t>(s)];
          CHECK(d.forward == 7);  // there is always a forward alone
          CHECK(d.input_gradient == (is.parted ? 5 : 4));
          CHECK(d.overlapped == (is.overlapped ? 11 : 15));
        }
      }
    }
  }
}

TEST_CASE("pipelines side by side are samples of one another", "[pipeline]") {
  const PipelineSchedule schedule = make_schedule({ScheduleKind::zb1p, 2, 4});
  std::vector<PipelineTimeline> ran;
  for (const double f : {2.0, 9.0, 3.0}) ran.push_back(simulate(schedule, {{{f, 1, 1, 4}}, 0}));
  CHECK(measured_durations(ran).stages[1].forward == 3);
  ran.pop_back();
  ran.pop_back();
  CHECK(measured_durations(ran).stages[1].forward == 2);
}
