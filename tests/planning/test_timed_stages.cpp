#include <numeric>

#include "catch.hpp"
#include "core/error.hpp"
#include "pipeline/measure.hpp"
#include "planning/schedule_plan.hpp"

using namespace moray;

namespace {

// A model of three dense layers, seven others, and head and MTP behind them. What each takes is not in
// proportion to what it costs, and of F, B, W and F&B each otherwise.
constexpr std::int64_t kLayers = 10, kDense = 3;

LayerCosts costs() {
  LayerCosts c;
  for (std::int64_t i = 0; i < kLayers; ++i) c.layers.push_back(i < kDense ? 2 : 3);
  c.last = 4;
  return c;
}

StageDurations times(double f, double b, double w, double fb) {
  return {f, b, w, fb};
}

/// By hand: what a stage takes is the sum of what its parts take.
std::vector<StageDurations> sums(const std::vector<StageLayers>& stages) {
  std::vector<StageDurations> result;
  for (const StageLayers& s : stages) {
    StageDurations d;
    const auto add = [&d](const StageDurations& part) {
      d.forward += part.forward;
      d.input_gradient += part.input_gradient;
      d.weight_gradient += part.weight_gradient;
      d.overlapped += part.overlapped;
    };
    for (std::int64_t i = s.first; i < s.first + s.count; ++i)
      add(i < kDense ? times(1, 2, 1.5, 4) : times(4, 5, 1, 8));
    if (&s == &stages.back()) add(times(3, 3, 5, 10.5));
    result.push_back(d);
  }
  return result;
}

TimedStages ran(const std::string& layers, int stages) {
  const std::vector<StageLayers> placed = parse_stages(layers, kLayers, stages);
  return {placed, sums(placed), kDense};
}

void check_same(const std::vector<StageDurations>& a, const std::vector<StageDurations>& b,
                double margin) {
  REQUIRE(a.size() == b.size());
  for (std::size_t s = 0; s < a.size(); ++s) {
    CAPTURE(s);
    CHECK(a[s].forward == Approx(b[s].forward).margin(margin));
    CHECK(a[s].input_gradient == Approx(b[s].input_gradient).margin(margin));
    CHECK(a[s].weight_gradient == Approx(b[s].weight_gradient).margin(margin));
    CHECK(a[s].overlapped == Approx(b[s].overlapped).margin(margin));
  }
}

}  // namespace

TEST_CASE("layers take along what they took when other stages have them", "[planning]") {
  const std::vector<std::pair<std::string, int>> layouts = {
      {"1,2,1,2,1x2,2,0", 8}, {"2,3,4,1", 4}, {"1,3x3", 4}, {"4,6", 2}, {"10", 1}};
  // These two tell dense layers, others and the head apart; from them all layouts follow.
  for (const std::size_t from : {std::size_t{0}, std::size_t{1}}) {
    for (const auto& [text, count] : layouts) {
      CAPTURE(layouts[from].first, text);
      const std::vector<StageLayers> to = parse_stages(text, kLayers, count);
      check_same(place_durations(to, ran(layouts[from].first, layouts[from].second), costs()),
                 sums(to), 1e-6);
    }
  }
}

TEST_CASE("stages that ran take exactly what they took, whatever disturbed them", "[planning]") {
  TimedStages odd = ran("2,3,4,1", 4);
  odd.durations[1] = times(0, 17.3, 1e-3, 0);
  odd.durations[2] = times(31.7, 0.1, 0.7, -2.5);  // saved more than it took
  const std::vector<StageDurations> same = place_durations(odd.layers, odd, costs());
  for (std::size_t s = 0; s < same.size(); ++s) {
    CHECK(same[s].forward == odd.durations[s].forward);
    CHECK(same[s].input_gradient == odd.durations[s].input_gradient);
    CHECK(same[s].weight_gradient == odd.durations[s].weight_gradient);
    CHECK(same[s].overlapped == odd.durations[s].overlapped);
  }
  // Elsewhere no time is lost; a stage of which nothing changed keeps its own.
  const std::vector<StageDurations> moved =
      place_durations(parse_stages("2,3,3,2", kLayers, 4), odd, costs());
  CHECK(moved[0].forward == odd.durations[0].forward);
  CHECK(moved[1].input_gradient == 17.3);
  double then = 0, now = 0;
  for (std::size_t s = 0; s < 4; ++s) {
    then += odd.durations[s].input_gradient;
    now += moved[s].input_gradient;
  }
  CHECK(now == Approx(then));
  CHECK(moved[2].input_gradient < odd.durations[2].input_gradient);
}

TEST_CASE("what one stage took says nothing of its kinds: it is dealt by cost", "[planning]") {
  const TimedStages one = {{{0, kLayers}}, {times(31, 62, 15.5, 93)}, kDense};  // costs 31
  const std::vector<StageDurations> two =
      place_durations(parse_stages("4,6", kLayers, 2), one, costs());
  check_same(two, {times(9, 18, 4.5, 27), times(22, 44, 11, 66)}, 1e-9);
}

// The whole way: a schedule ran with the stages of one layout, its timeline is measured, and each
// schedule is planned from it.
TEST_CASE("schedules are planned from a timeline that ran", "[planning]") {
  const PipelineSchedule schedule = make_schedule({ScheduleKind::dualpipev, 4, 16});
  const TimedStages known = ran("1,2,1,2,1x2,2,0", 8);
  const PipelineTimeline timeline = simulate(schedule, {known.durations, 0});
  ScheduleQuestion q;
  q.ranks = 4;
  q.micro_batches = 16;
  q.costs = costs();
  q.timed = {times(1, 1, 1, 1), 1};  // of equal stages alone
  q.ran = TimedStages{known.layers, measured_durations(timeline).stages, kDense};
  q.stages = "1,2,1,2,1x2,2,0";
  const SchedulePlan same = plan_schedule(ScheduleKind::dualpipev, q);
  CHECK(same.step() == Approx(timeline.end()));
  for (int rank = 0; rank < 4; ++rank)
    CHECK(same.timeline.idle(rank) == Approx(timeline.idle(rank)));
  // These two overlap nothing; what pairs of unequal stages save is known of the pair alone.
  q.stages = "2,3,4,1";
  for (const ScheduleKind kind : {ScheduleKind::one_f_one_b, ScheduleKind::zb1p}) {
    CAPTURE(schedule_name(kind));
    const SchedulePlan plan = plan_schedule(kind, q);
    CHECK(plan.step() == Approx(simulate(make_schedule({kind, 4, 16}),
                                         {sums(parse_stages("2,3,4,1", kLayers, 4)), 0})
                                    .end()));
  }
  q.stages = "equal";
  CHECK(plan_schedule(ScheduleKind::zb1p, q).durations.size() == 1);
}
