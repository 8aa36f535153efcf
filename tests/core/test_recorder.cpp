#include "catch.hpp"
#include "core/recorder.hpp"
#include "counting_new.hpp"

using namespace moray;

TEST_CASE("spans are recorded in the order in which they began", "[recorder]") {
  Recorder recorder;
  recorder.reserve(3);
  { const Recorder::Scope before(Phase::experts); }  // nothing is recorded
  CHECK_FALSE(Recorder::active());
  const double begin = steady_seconds();
  {
    const Recorder::Recording recording(recorder);
    CHECK(Recorder::active());
    const Recorder::Scope outer(Phase::dispatch_finish, PhasePart::B, 7);
    { const Recorder::Scope inner(Phase::tokens); }
    { const Recorder::Scope inner(Phase::counts); }
  }
  { const Recorder::Scope after(Phase::experts); }
  const double end = steady_seconds();
  const auto& spans = recorder.spans();
  REQUIRE(spans.size() == 3);
  CHECK(spans[0].phase == Phase::dispatch_finish);
  CHECK(spans[0].part == PhasePart::B);
  CHECK(spans[0].layer == 7);
  CHECK(spans[1].phase == Phase::tokens);
  CHECK(spans[1].layer == -1);
  CHECK(spans[2].phase == Phase::counts);
  CHECK(begin <= spans[0].begin);
  CHECK(spans[0].begin <= spans[1].begin);
  CHECK(spans[1].begin <= spans[1].end);
  CHECK(spans[1].end <= spans[2].begin);
  CHECK(spans[2].end <= spans[0].end);
  CHECK(spans[0].end <= end);
  CHECK(recorder.lost() == 0);
}

TEST_CASE("a recording takes no memory, and counts what finds no room", "[recorder]") {
  Recorder recorder;
  recorder.reserve(2);
  for (int again = 0; again < 2; ++again) {
    const long allocations = test::count_allocations([&] {
      const Recorder::Recording recording(recorder);
      for (int i = 0; i < 5; ++i) const Recorder::Scope span(Phase::attention, PhasePart::F, i);
    });
    CHECK(allocations == 0);
    CHECK(recorder.spans().size() == 2);
    CHECK(recorder.spans()[1].layer == 1);
    CHECK(recorder.lost() == 3);
  }
}
