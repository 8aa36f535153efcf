#include "catch.hpp"
#include "training/timeline.hpp"

using namespace moray;
using Unit = Amount::Unit;

namespace {
BatchConfig constant(std::int64_t sequences, std::int64_t length) {
  BatchConfig batch;
  batch.sequences = sequences;
  batch.length = length;
  return batch;
}
}  // namespace

TEST_CASE("lengths in steps, samples and tokens", "[timeline]") {
  const Timeline timeline(constant(8, 128), {100, Unit::steps});
  CHECK(timeline.total() == 100);
  CHECK(timeline.samples_before(3) == 24);
  CHECK(timeline.steps({0, Unit::tokens}) == 0);
  CHECK(timeline.steps({8, Unit::samples}) == 1);
  CHECK(timeline.steps({9, Unit::samples}) == 2);
  CHECK(timeline.steps({1024, Unit::tokens}) == 1);
  CHECK(timeline.steps({1025, Unit::tokens}) == 2);
  CHECK(Timeline(constant(8, 128), {1e6, Unit::tokens}).total() == 977);
}

TEST_CASE("a ramp grows in multiples and is then constant", "[timeline]") {
  BatchConfig batch = constant(16, 10);
  batch.ramp_from = 4;
  batch.ramp_over = {60, Unit::samples};
  batch.ramp_multiple = 4;
  const Timeline timeline(batch, {20, Unit::steps});
  // N = 4 + floor(12 done / 60 / 4) 4 with `done` the samples before the step.
  std::int64_t done = 0;
  for (std::int64_t step = 0; step < 20; ++step) {
    const std::int64_t expected = done >= 60 ? 16 : 4 + 12 * done / 60 / 4 * 4;
    CHECK(timeline.samples_before(step) == done);
    CHECK(timeline.sequences(step) == expected);
    done += expected;
  }
  CHECK(timeline.sequences(0) == 4);
  CHECK(timeline.sequences(19) == 16);
  CHECK(timeline.steps({static_cast<double>(done), Unit::samples}) == 20);
}

TEST_CASE("intervals are due when a multiple is reached or passed", "[timeline]") {
  const Timeline timeline(constant(8, 4), {100, Unit::steps});
  std::vector<std::int64_t> due;
  for (std::int64_t step = 0; step < 12; ++step) {
    if (timeline.due({5, Unit::steps}, step)) due.push_back(step + 1);
  }
  CHECK(due == std::vector<std::int64_t>{5, 10});
  due.clear();
  for (std::int64_t step = 0; step < 8; ++step) {
    if (timeline.due({20, Unit::samples}, step)) due.push_back(step + 1);
  }
  CHECK(due == std::vector<std::int64_t>{3, 5, 8});
  CHECK_FALSE(timeline.due({0, Unit::steps}, 3));
}
