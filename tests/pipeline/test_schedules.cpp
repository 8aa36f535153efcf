#include <fstream>
#include <random>
#include <sstream>

#include "catch.hpp"
#include "core/error.hpp"
#include "pipeline/check.hpp"
#include "pipeline/interpreter.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/simulate.hpp"
#include "pipeline/stage_link.hpp"

using namespace moray;

namespace {

std::vector<std::vector<std::string>> published(const std::string& name) {
  std::ifstream file(std::string(MORAY_PUBLISHED_FOLDER) + "/" + name);
  REQUIRE(file.good());
  std::vector<std::vector<std::string>> lists;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    lists.emplace_back(std::istream_iterator<std::string>(words),
                       std::istream_iterator<std::string>());
  }
  return lists;
}

std::vector<std::vector<std::string>> written(const PipelineSchedule& schedule) {
  std::vector<std::vector<std::string>> lists;
  for (const auto& ops : schedule.ops) {
    lists.emplace_back();
    for (const PipelineOp& op : ops) lists.back().push_back(to_text(op));
  }
  return lists;
}

std::vector<int> sizes_of(int p) {
  return {2 * p, 2 * p + 4, 40};
}

}  // namespace

TEST_CASE("DualPipe and DualPipeV are the published op sequences", "[pipeline]") {
  const auto same = [](ScheduleKind kind, int p, int n, const std::string& name) {
    CAPTURE(name);
    CHECK(written(make_schedule({kind, p, n})) == published(name));
  };
  same(ScheduleKind::dualpipe, 4, 8, "dualpipe_4_8.txt");
  same(ScheduleKind::dualpipe, 8, 20, "dualpipe_8_20.txt");
  same(ScheduleKind::dualpipev, 4, 10, "dualpipev_4_10.txt");
}

TEST_CASE("every schedule is proved, keeps to its slots and is right", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int p : {2, 4, 8, 16}) {
      for (const int n : sizes_of(p)) {
        CAPTURE(schedule_name(kind), p, n);
        const PipelineSchedule schedule = make_schedule({kind, p, n});
        const ScheduleProof proof = prove(schedule);
        if (proof.fault) FAIL(proof.fault->message());
        const Interpretation meaning = interpret(schedule);
        CHECK(meaning.why.empty());
        for (int r = 0; r < p; ++r) {
          CAPTURE(r);
          const int promised = kind == ScheduleKind::one_f_one_b ? p - r
                               : kind == ScheduleKind::zb1p      ? p
                               : kind == ScheduleKind::dualpipe  ? p + 1
                                                                 : 2 * p + 1;
          CHECK(schedule.slots[r] == promised);
          CHECK(proof.needs[r].activations == promised);
          CHECK(meaning.most_held[r] == promised);
        }
      }
    }
  }
}

TEST_CASE("idle time is the published bubble", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int p : {2, 4, 8, 16}) {
      for (const int n : sizes_of(p)) {
        for (const double overlapped : {2.0, 2.5, 2.75, 3.0}) {
          CAPTURE(schedule_name(kind), p, n, overlapped);
          const StageDurations stage{1, 1, 1, overlapped};
          const PipelineSchedule schedule = make_schedule({kind, p, n});
          const PipelineTimeline t = simulate(schedule, {{stage}, 0});
          CHECK(t.longest_idle() == *published_bubble(schedule.shape, stage));
        }
      }
    }
  }
}

// For W <= F <= B and F + B <= F&B <= F + B + W; docs/schedules.md says what happens outside.
TEST_CASE("idle time never exceeds the published bubble", "[pipeline]") {
  std::mt19937 random(1);
  const auto up_to = [&](int n) {
    return static_cast<int>(random() % static_cast<unsigned>(n + 1));
  };
  int below = 0;
  for (int i = 0; i < 400; ++i) {
    const ScheduleKind kind = i % 2 == 0 ? ScheduleKind::dualpipe : ScheduleKind::dualpipev;
    const int p = std::array{2, 4, 8}[static_cast<std::size_t>(i / 2 % 3)];
    const int n = 2 * p + 2 * up_to(7);
    const int w = 1 + up_to(32);
    const int f = w + up_to(16);
    const int b = f + up_to(32);
    const int overlapped = f + b + up_to(w);
    CAPTURE(schedule_name(kind), p, n, f, b, w, overlapped);
    const StageDurations stage{double(f), double(b), double(w), double(overlapped)};
    const PipelineSchedule schedule = make_schedule({kind, p, n});
    const double idle = simulate(schedule, {{stage}, 0}).longest_idle();
    CHECK(idle <= *published_bubble(schedule.shape, stage));
    below += idle < *published_bubble(schedule.shape, stage) ? 1 : 0;
  }
  CHECK(below > 0);
}

// The program of 2 P micro-batches without the first ones.
TEST_CASE("DualPipe and DualPipeV with fewer micro-batches than 2 P", "[pipeline]") {
  for (const ScheduleKind kind : {ScheduleKind::dualpipe, ScheduleKind::dualpipev}) {
    for (const int p : {2, 4, 8, 16}) {
      const PipelineSchedule whole = make_schedule({kind, p, 2 * p});
      const std::vector<RankNeeds> most = require_sound(whole);
      const int streams = whole.shape.streams();
      for (int n = streams; n < 2 * p; n += streams) {
        CAPTURE(schedule_name(kind), p, n);
        const PipelineSchedule schedule = make_schedule({kind, p, n});
        const ScheduleProof proof = prove(schedule);
        if (proof.fault) FAIL(proof.fault->message());
        const Interpretation meaning = interpret(schedule);
        CHECK(meaning.why.empty());
        CHECK(fewest_buffers(schedule) == 1);
        for (int r = 0; r < p; ++r) {
          CAPTURE(r);
          const RankNeeds& needs = proof.needs[r];
          CHECK(schedule.slots[r] <= whole.slots[r]);
          CHECK(needs.activations == schedule.slots[r]);
          CHECK(meaning.most_held[r] == schedule.slots[r]);
          // What is planned for the most micro-batches of a batch ramp is enough for all others.
          CHECK(needs.pending_weights <= most[r].pending_weights);
          const LinkBuffers buffers = link_buffers(schedule, r, needs);
          const LinkBuffers whole_buffers = link_buffers(whole, r, most[r]);
          for (std::size_t tag = 0; tag < kTransferTags; ++tag) {
            CHECK(buffers.send[tag] <= whole_buffers.send[tag]);
            CHECK(buffers.handed_over[tag] <= whole_buffers.handed_over[tag]);
            CHECK(buffers.receive[tag] <= whole_buffers.receive[tag]);
          }
        }
      }
    }
  }
}

// With F = B = W = 1 and F&B = 3, as docs/schedules.md says.
TEST_CASE("waiting with few micro-batches, beside the best of 1F1B and ZB1P", "[pipeline]") {
  const StageDurations stage{1, 1, 1, 3};
  const auto waiting = [&](ScheduleKind kind, int p, int n) {
    return simulate(make_schedule({kind, p, n}), {{stage}, 0}).longest_idle();
  };
  for (const int p : {2, 4, 8, 16}) {
    for (int n = 2; n < 2 * p; n += 2) {
      CAPTURE(p, n);
      const double dualpipe = waiting(ScheduleKind::dualpipe, p, n);
      const double best =
          std::min(waiting(ScheduleKind::one_f_one_b, p, n), waiting(ScheduleKind::zb1p, p, n));
      CHECK(dualpipe == (n <= p ? 2 : 3) * p - 2 - n);
      CHECK(best == std::max(2 * p - 1 - n, p - 1));
      CHECK_FALSE(published_bubble({ScheduleKind::dualpipe, p, n}, stage));
    }
  }
}

// Durations of the public profile (input/hardware/h800-2048.yaml): the exchanges of a forward or
// backward on its own have nothing to hide behind, and F&B is 0.71 of its parts.
TEST_CASE("DualPipe with few micro-batches takes less time than 1F1B and ZB1P where pairs pay",
          "[pipeline]") {
  const StageDurations stage{15.75, 21.75, 7.73, 32.13};
  const auto step = [&](ScheduleKind kind, int p, int n) {
    return simulate(make_schedule({kind, p, n}), {{stage}, 0}).end();
  };
  for (const int p : {2, 4, 8, 16}) {
    for (int n = 2; n < 2 * p; n += 2) {
      CAPTURE(p, n);
      CHECK(step(ScheduleKind::dualpipe, p, n) <
            std::min(step(ScheduleKind::one_f_one_b, p, n), step(ScheduleKind::zb1p, p, n)));
    }
  }
}

TEST_CASE("1F1B and ZB1P take any number of ranks and micro-batches", "[pipeline]") {
  for (const ScheduleKind kind : {ScheduleKind::one_f_one_b, ScheduleKind::zb1p}) {
    for (int p = 1; p <= 6; ++p) {
      for (int n = 1; n <= 2 * p + 1; ++n) {
        CAPTURE(schedule_name(kind), p, n);
        const PipelineSchedule schedule = make_schedule({kind, p, n});
        const ScheduleProof proof = prove(schedule);
        if (proof.fault) FAIL(proof.fault->message());
        CHECK(interpret(schedule).right);
      }
    }
  }
}

TEST_CASE("DualPipeV takes one rank and odd sizes", "[pipeline]") {
  for (const auto& [p, n] :
       {std::pair{1, 1}, {1, 2}, {1, 5}, {3, 1}, {3, 5}, {3, 6}, {3, 7}, {5, 8}, {5, 11}}) {
    CAPTURE(p, n);
    const PipelineSchedule schedule = make_schedule({ScheduleKind::dualpipev, p, n});
    const ScheduleProof proof = prove(schedule);
    if (proof.fault) FAIL(proof.fault->message());
    CHECK(interpret(schedule).right);
  }
}

TEST_CASE("forwards alone pass every stage once, in any number", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int p : {1, 2, 3, 4, 8}) {
      for (const int n : {1, 2, 3, 7, 16}) {
        const PipelineShape shape{kind, p, n};
        CAPTURE(schedule_name(kind), p, n);
        if (n % shape.streams() != 0) {
          CHECK_THROWS_AS(make_forward_schedule(shape), Error);
          continue;
        }
        PipelineSchedule schedule = make_forward_schedule(shape);
        const ScheduleProof proof = prove(schedule);
        if (proof.fault) FAIL(proof.fault->message());
        // The last rank of a stream has its result after `stages` ops at the earliest; every rank
        // works all the time but for filling and emptying.
        const PipelineTimeline t = simulate(schedule, {{{1, 0, 0, 0}}, 0});
        CHECK(t.end() <= n * shape.stages() / p + shape.stages() + shape.chunks() * p);
        schedule.ops[0].push_back({OpKind::B, {}, {0, 0}});
        REQUIRE(prove(schedule).fault);
        CHECK(prove(schedule).fault->reason == "is no forward, and the schedule has forwards only");
        schedule.ops[0].pop_back();
        schedule.ops[0].pop_back();
        CHECK(prove(schedule).fault);
      }
    }
  }
}

TEST_CASE("impossible sizes are refused with sizes that work", "[pipeline]") {
  const auto problem = [](ScheduleKind kind, int p, int n) { return shape_problem({kind, p, n}); };
  CHECK(problem(ScheduleKind::dualpipe, 3, 8) ==
        "dualpipe needs an even number of pipeline ranks: 2 or 4, not 3");
  CHECK(problem(ScheduleKind::dualpipe, 4, 9) ==
        "dualpipe needs an even number of micro-batches: 8 or 10, not 9");
  CHECK(problem(ScheduleKind::dualpipe, 4, 1) ==
        "dualpipe needs an even number of micro-batches: 2, not 1");
  CHECK_FALSE(problem(ScheduleKind::zb1p, 0, 1).empty());
  CHECK(problem(ScheduleKind::dualpipe, 4, 8).empty());
  CHECK_THROWS_AS(make_schedule({ScheduleKind::dualpipe, 3, 8}), Error);
}

TEST_CASE("send buffers: most messages of which nothing says that they were received",
          "[pipeline]") {
  // 1F1B of 2 ranks: rank 0 sends 0 and 1 before it hears of rank 1 for the first time, and one more
  // for each gradient that comes back. Rank 1 sends gradient m + 1 when it has activation m + 1,
  // which rank 0 sent, with 2 ahead, before it took gradient m.
  const std::vector<RankNeeds> needs =
      require_sound(make_schedule({ScheduleKind::one_f_one_b, 2, 8}));
  CHECK(needs[0].unreceived == std::array{2, 0, 0, 0});
  CHECK(needs[1].unreceived == std::array{0, 2, 0, 0});
}

TEST_CASE("one buffer a channel is enough for every schedule", "[pipeline]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int p : {2, 4, 8, 16}) {
      for (const int n : sizes_of(p)) {
        CAPTURE(schedule_name(kind), p, n);
        CHECK(fewest_buffers(make_schedule({kind, p, n})) == 1);
        CHECK(fewest_buffers(make_forward_schedule({kind, p, n})) == 1);
      }
    }
  }
}

TEST_CASE("micro-batches of a direction are those of a data rank of its own", "[pipeline]") {
  const PipelineShape two{ScheduleKind::dualpipe, 4, 8};
  CHECK(stream_share(two, 3, 4, 1).rank == 7);
  CHECK(stream_share(two, 3, 4, 1).ranks == 8);
  const PipelineShape one{ScheduleKind::dualpipev, 4, 8};
  CHECK(stream_share(one, 3, 4, 0).rank == 3);
  CHECK(stream_share(one, 3, 4, 0).ranks == 4);
}
