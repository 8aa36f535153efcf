// The messages of a pipeline between as many ranks as the test is started on, with numbers instead of
// activations: each op checks what it receives and sends on what says who sent it.
#include "pipeline/stage_link.hpp"

#include <random>

#include "catch.hpp"
#include "mpi_world.hpp"
#include "pipeline/legal_move.hpp"

using namespace moray;
using moray::test::world;

namespace {

/// Large enough that no MPI sends it before the receiver has asked for it.
constexpr std::int64_t kRows = 30, kWidth = 700;

/// A link with memory for one schedule.
struct Link {
  Link(const PipelineSchedule& schedule, const LaneOrder& lanes, const Communicator& ranks)
      : link(ranks) {
    const auto needs = require_sound(schedule, lanes)[static_cast<std::size_t>(ranks.rank())];
    buffers = link_buffers(schedule, ranks.rank(), needs);
    Arena plan, counted;
    link.allocate(plan, buffers, kRows, kWidth);
    StageLink::count(counted, buffers, kRows, kWidth);
    CHECK(counted.bytes(Memory::communication) == plan.bytes(Memory::communication));
    arena.reserve(plan);
    link.allocate(arena, buffers, kRows, kWidth);
  }
  LinkBuffers buffers;
  StageLink link;
  Arena arena;
};

/// What the message into a stage holds.
float content(const PipelineShape& shape, int rank, const Transfer& t, bool sends) {
  const bool gradient = t.payload == Payload::gradient;
  const int stage = shape.stage(rank, t.unit.chunk) + (!sends ? 0 : gradient ? -1 : 1);
  const int stream = shape.stream(t.unit.chunk);
  return static_cast<float>((((gradient ? 1 : 0) * 64 + stage) * 2 + stream) * 1024 + t.unit.micro);
}

struct Count {
  int received = 0;
  int wrong = 0;
};

/// The messages of this rank's ops.
Count pass(StageLink& link, const PipelineSchedule& schedule) {
  const ExecSpace exec;
  const PipelineShape& shape = schedule.shape;
  const int rank = link.rank();
  std::vector<float> values(static_cast<std::size_t>(kRows * kWidth));
  const Matrix<float> in = matrix(values.data(), kRows, kWidth);
  Count count;
  link.begin(schedule);
  for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(rank)]) {
    std::vector<Matrix<float>> out;
    for (const Transfer& t : sends(shape, rank, op)) out.push_back(link.buffer(t));
    for (const Transfer& t : receives(shape, rank, op)) {
      link.receive(exec, t, in);
      ++count.received;
      const float expected = content(shape, rank, t, false);
      if (in.row(0)[0] != expected || in.row(kRows - 1)[kWidth - 1] != expected) ++count.wrong;
    }
    std::size_t next = 0;
    for (const Transfer& t : sends(shape, rank, op)) {
      Matrix<float>& rows = out[next++];
      std::fill(rows.data, rows.data + kRows * kWidth, content(shape, rank, t, true));
      link.send(exec, t);
    }
  }
  link.end();
  return count;
}

/// Both, and that every message came.
void check(const PipelineSchedule& schedule, const Communicator& ranks,
           const LaneOrder& lanes = {}) {
  Link link(schedule, lanes, ranks);
  int expected = 0;
  for (const PipelineOp& op : schedule.ops[static_cast<std::size_t>(ranks.rank())])
    expected += receives(schedule.shape, ranks.rank(), op).size();
  for (int step = 0; step < 2; ++step) {
    const Count count = pass(link.link, schedule);
    CHECK(count.received == expected);
    CHECK(count.wrong == 0);
  }
}

void add(std::vector<PipelineOp>& ops, OpKind kind, std::initializer_list<Unit> units) {
  for (const Unit u : units) {
    const bool forward = kind == OpKind::F;
    ops.push_back({kind, forward ? u : Unit(), forward ? Unit() : u});
  }
}

}  // namespace

TEST_CASE("every op receives what was sent to it", "[pipeline][mpi]") {
  const int p = world().size();
  for (const ScheduleKind kind : kScheduleKinds) {
    const PipelineShape shape{kind, p, 2 * p + 4};
    if (!shape_problem(shape).empty()) continue;
    CAPTURE(schedule_name(kind));
    check(make_schedule(shape), world());
    check(make_forward_schedule(shape), world());
  }
}

TEST_CASE("and of changed schedules, that send further ahead", "[pipeline][mpi]") {
  const int p = world().size();
  std::mt19937 random(5);
  for (int i = 0; i < 12; ++i) {
    const PipelineShape shape{kScheduleKinds[static_cast<std::size_t>(i) % 4], p, 2 * p + 4};
    if (!shape_problem(shape).empty()) continue;
    PipelineSchedule schedule = make_schedule(shape);
    for (int& slots : schedule.slots) slots += 6;
    walk(schedule, 100, random);
    CAPTURE(i, schedule_name(shape.kind));
    check(schedule, world());
  }
}

TEST_CASE("a schedule that needs many buffers gets them", "[pipeline][mpi]") {
  if (world().size() < 2) return;
  const Communicator two = world().split(world().rank() / 2, world().rank());
  if (two.size() < 2) return;
  // Rank 0 sends all activations of its direction before rank 1, which waits for gradients of the other
  // one meanwhile, takes the first.
  PipelineSchedule s{{ScheduleKind::dualpipe, 2, 10}, false, {{}, {}}, {6, 6}};
  add(s.ops[0], OpKind::F, {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}});
  add(s.ops[1], OpKind::F, {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}});
  for (int m = 0; m < 5; ++m) {
    add(s.ops[0], OpKind::F, {{1, m}});
    add(s.ops[0], OpKind::BW, {{1, m}});
  }
  add(s.ops[1], OpKind::BW, {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}});
  for (int m = 0; m < 5; ++m) {
    add(s.ops[1], OpKind::F, {{0, m}});
    add(s.ops[1], OpKind::BW, {{0, m}});
  }
  add(s.ops[0], OpKind::BW, {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}});
  CHECK(fewest_buffers(s) == 5);
  Link link(s, {}, two);
  CHECK(link.buffers.send[0] == (two.rank() == 0 ? 5 : 0));
  check(s, two);
}

TEST_CASE("what a rank hands over to itself is taken in any order", "[pipeline][mpi]") {
  // At the turn of DualPipeV, here all of it.
  const Communicator one = world().split(world().rank(), 0);
  PipelineSchedule s{{ScheduleKind::dualpipev, 1, 3}, false, {{}}, {6}};
  add(s.ops[0], OpKind::F, {{0, 0}, {0, 1}, {0, 2}, {1, 2}, {1, 0}, {1, 1}});
  add(s.ops[0], OpKind::BW, {{1, 0}, {1, 1}, {0, 0}, {0, 1}, {1, 2}, {0, 2}});
  Link link(s, {}, one);
  CHECK(link.buffers.handed_over == std::array{0, 2, 3, 0});
  check(s, one);
  // Gradients too, where lanes allow it.
  std::swap(s.ops[0][8], s.ops[0][9]);
  CHECK(prove(s).fault);
  check(s, one, {1, 2, 2});
}
