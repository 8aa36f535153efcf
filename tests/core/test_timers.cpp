#include "catch.hpp"
#include "core/timers.hpp"

using namespace moray;

TEST_CASE("a timer counts calls and the table shows the tree", "[timers]") {
  Timers timers;
  const std::size_t step = timers.part("step");
  const std::size_t forward = timers.part("step/forward");
  timers.part("step/never");
  {
    const Timers::Scope whole(timers, step);
    const Timers::Scope part(timers, forward);
  }
  CHECK(timers.parts()[step].calls == 1);
  CHECK(timers.parts()[step].seconds >= timers.parts()[forward].seconds);
  const auto lines = timer_table(timers, {4, 3, 0}, {4, 2, 0}, 8);
  REQUIRE(lines.size() == 3);  // a heading, and no line for a part that never ran
  CHECK(lines[1].find("step ") == 0);
  CHECK(lines[2].find("  forward") == 0);
  CHECK(lines[1].find("50.0%") != std::string::npos);
  CHECK(lines[2].find("50.0%") != std::string::npos);  // 3 is 50 % more than the mean 2
}
