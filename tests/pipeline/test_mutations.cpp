#include <algorithm>
#include <map>
#include <random>

#include "catch.hpp"
#include "pipeline/check.hpp"
#include "pipeline/interpreter.hpp"
#include "pipeline/legal_move.hpp"
#include "pipeline/pipeline.hpp"

using namespace moray;

namespace {

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  int below(std::size_t n) { return static_cast<int>(random_() % n); }

  PipelineSchedule schedule() {
    const ScheduleKind kind = kScheduleKinds[static_cast<std::size_t>(below(4))];
    const int p = kind == ScheduleKind::dualpipe ? 2 + 2 * below(2) : 1 + below(4);
    const int n = kind == ScheduleKind::dualpipe ? 2 + 2 * below(static_cast<std::size_t>(p + 2))
                                                 : 1 + below(static_cast<std::size_t>(2 * p + 4));
    return make_schedule({kind, p, n});
  }

  /// One change, anywhere, of any of these sorts.
  void mutate(PipelineSchedule& s) {
    const int rank = below(s.ops.size());
    auto& ops = s.ops[static_cast<std::size_t>(rank)];
    const int i = below(ops.size());
    const int j = below(ops.size());
    const PipelineOp op = ops[i];
    switch (below(12)) {
      case 0:
        ops.erase(ops.begin() + i);
        break;
      case 1:
        ops.insert(ops.begin() + j, op);
        break;
      case 2:
        std::swap(ops[i], ops[j]);
        break;
      case 3:  // neighbours
        if (i > 0) std::swap(ops[i], ops[i - 1]);
        break;
      case 4: {  // moved
        ops.erase(ops.begin() + i);
        ops.insert(ops.begin() + below(ops.size() + 1), op);
        break;
      }
      case 5: {  // to another rank
        ops.erase(ops.begin() + i);
        auto& other = s.ops[static_cast<std::size_t>(below(s.ops.size()))];
        other.insert(other.begin() + below(other.size() + 1), op);
        break;
      }
      case 6:
        ops[i].kind = static_cast<OpKind>(below(5));
        break;
      case 7:
        (below(2) == 0 ? ops[i].forward : ops[i].backward).micro += below(2) == 0 ? 1 : -1;
        break;
      case 8:
        (below(2) == 0 ? ops[i].forward : ops[i].backward).chunk ^= 1;
        break;
      case 9:
        split(ops, i);
        break;
      case 10:
        if (i + 1 < static_cast<int>(ops.size())) join(ops, i);
        break;
      default:
        s.slots[static_cast<std::size_t>(rank)] += below(2) == 0 ? 1 : -1;
    }
  }

 private:
  void split(std::vector<PipelineOp>& ops, int i) {
    const PipelineOp op = ops[i];
    if (op.kind == OpKind::BW) {
      ops[i].kind = OpKind::B;
      ops.insert(ops.begin() + i + 1 + below(ops.size() - static_cast<std::size_t>(i)),
                 {OpKind::W, {}, op.backward});
    } else if (op.kind == OpKind::FB) {
      ops[i] = {OpKind::F, op.forward, {}};
      ops.insert(ops.begin() + i + below(2), {OpKind::BW, {}, op.backward});
    }
  }
  void join(std::vector<PipelineOp>& ops, int i) {
    const PipelineOp a = ops[i];
    const PipelineOp b = ops[i + 1];
    if (a.kind == OpKind::F && b.kind == OpKind::BW)
      ops[i] = {OpKind::FB, a.forward, b.backward};
    else if (a.kind == OpKind::BW && b.kind == OpKind::F)
      ops[i] = {OpKind::FB, b.forward, a.backward};
    else if (a.kind == OpKind::B && b.kind == OpKind::W && a.backward == b.backward)
      ops[i] = {OpKind::BW, {}, a.backward};
    else
      return;
    ops.erase(ops.begin() + i + 1);
  }

  std::mt19937 random_;
};

std::string lists_of(const PipelineSchedule& s) {
  std::string text;
  for (const auto& ops : s.ops) {
    for (const PipelineOp& op : ops) text += to_text(op) + " ";
    text += "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("10,000 single mutations: accepted exactly when right", "[pipeline]") {
  Mutator mutator(7);
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    PipelineSchedule schedule = mutator.schedule();
    const auto before = schedule.ops;
    const auto slots = schedule.slots;
    while (schedule.ops == before && schedule.slots == slots) mutator.mutate(schedule);
    const ScheduleProof proof = prove(schedule);
    const Interpretation meaning = interpret(schedule);
    (proof.fault ? refused : accepted)++;
    if (proof.fault.has_value() != meaning.right) continue;
    CAPTURE(schedule_name(schedule.shape.kind), meaning.why, lists_of(schedule));
    FAIL((proof.fault ? proof.fault->message() : std::string("accepted")));
  }
  CHECK(accepted > 500);
  CHECK(refused > 5'000);
}

TEST_CASE("1,000 legal changes are accepted", "[pipeline]") {
  Mutator mutator(11);
  std::mt19937 random(13);
  int made = 0;
  std::map<ScheduleKind, int> by_kind;
  while (made < 1'000) {
    PipelineSchedule schedule = mutator.schedule();
    for (int i = 0; i < 20 && made < 1'000 && walk(schedule, 1, random) == 1; ++i) {
      ++made;
      ++by_kind[schedule.shape.kind];
      const ScheduleProof proof = prove(schedule);
      if (proof.fault) FAIL(proof.fault->message() << "\n" << lists_of(schedule));
      REQUIRE(interpret(schedule).right);
    }
  }
  CHECK(by_kind.size() == kScheduleKinds.size());
}

TEST_CASE("the fewest buffers are those with which the interpreter comes to the end",
          "[pipeline]") {
  Mutator mutator(17);
  std::mt19937 random(19);
  std::map<int, int> found;
  for (int i = 0; i < 100; ++i) {
    PipelineSchedule schedule = mutator.schedule();
    for (int& slots : schedule.slots) slots += 4;  // room for changes that need more buffers
    walk(schedule, 30, random);
    REQUIRE_FALSE(prove(schedule).fault);
    const int buffers = fewest_buffers(schedule);
    ++found[buffers];
    CAPTURE(schedule_name(schedule.shape.kind), buffers, lists_of(schedule));
    CHECK(interpret(schedule, buffers).right);
    if (buffers > 1) CHECK_FALSE(interpret(schedule, buffers - 1).right);
  }
  CHECK(found.size() > 1);
}

TEST_CASE("a broken schedule is refused with rank, position, op and reason", "[pipeline]") {
  const auto fault = [](PipelineSchedule& s) {
    const ScheduleProof proof = prove(s);
    CHECK(proof.needs.empty());
    return proof.fault ? proof.fault->message() : std::string("accepted");
  };
  const auto fresh = [](ScheduleKind kind = ScheduleKind::dualpipe) {
    return make_schedule({kind, 4, 8});
  };
  PipelineSchedule s = fresh();
  s.ops[1].erase(s.ops[1].begin() + 2);
  CHECK(fault(s) == "rank 1, F0:1: is missing");

  s = fresh();
  s.ops[0].pop_back();
  CHECK(fault(s) ==
        "rank 0, W0:3: is missing: the weight gradient that position 14 puts off is left over");

  s = fresh();
  s.ops[0].insert(s.ops[0].begin() + 2, s.ops[0][1]);
  CHECK(fault(s) ==
        "rank 0, position 2, F0:1: is the second forward of this unit; position 1 has the first");

  s = fresh();
  std::swap(s.ops[0][0], s.ops[0][1]);
  CHECK(fault(s) ==
        "rank 1, position 0, F0:0: receives micro-batch 0 as message 0 from rank 0, which sends "
        "micro-batch 1 as that, at its position 0");

  s = fresh();
  std::swap(s.ops[0][4], s.ops[0][5]);
  CHECK(fault(s) == "rank 0, position 4, W1:0: comes before its input gradient, at 5");

  s = fresh(ScheduleKind::one_f_one_b);
  s.slots[1] = 2;
  CHECK(fault(s) == "rank 1, position 2, F0:2: needs activation slot 3, and the rank has 2");

  s = fresh(ScheduleKind::zb1p);
  std::swap(s.ops[3][s.ops[3].size() - 1], s.ops[3][s.ops[3].size() - 2]);
  CHECK(fault(s) ==
        "rank 3, position 23, W0:6: adds sequence 6 of its stream to lane 0 after sequence 7");

  // The last rank wants three forwards before its first backward, and rank 2 gives two.
  s = fresh(ScheduleKind::one_f_one_b);
  s.slots[3] = 3;
  std::rotate(s.ops[3].begin() + 1, s.ops[3].begin() + 2, s.ops[3].begin() + 3);  // F F BW BW
  std::rotate(s.ops[3].begin() + 2, s.ops[3].begin() + 4, s.ops[3].begin() + 5);  // F F F BW BW
  CHECK(fault(s) ==
        "rank 2, position 2, BW0:0: waits for ever: rank 2 at position 2 waits for BW0:0 of rank 3 "
        "at position 3; rank 3 at position 2 waits for F0:2 of rank 2 at position 3");
}

TEST_CASE("input gradients come in order too: norm gains, embedding and head are added with them",
          "[pipeline]") {
  // One rank alone, whose weight gradients are in order.
  PipelineSchedule s{{ScheduleKind::zb1p, 1, 2}, false, {{}}, {2}};
  for (const Unit u : {Unit{0, 0}, Unit{0, 1}}) s.ops[0].push_back({OpKind::F, u, {}});
  for (const Unit u : {Unit{0, 1}, Unit{0, 0}}) s.ops[0].push_back({OpKind::B, {}, u});
  for (const Unit u : {Unit{0, 0}, Unit{0, 1}}) s.ops[0].push_back({OpKind::W, {}, u});
  CHECK(interpret(s).why == "a wrong gradient of the norm gains");
  REQUIRE(prove(s).fault);
  CHECK(
      prove(s).fault->message() ==
      "rank 0, position 3, B0:0: adds sequence 0 of its stream to norm gains, embedding and head, "
      "lane 0 after sequence 1");
  CHECK_FALSE(prove(s, {1, 2, 1}).fault);  // two lanes of dense tensors: these are all dense
  // A rank whose neighbour sends in that order has no choice.
  s = {{ScheduleKind::zb1p, 2, 2}, false, {s.ops[0], s.ops[0]}, {2, 2}};
  CHECK(interpret(s).why == "a wrong gradient of the norm gains");
  CHECK(prove(s).fault);
  std::swap(s.ops[0][2], s.ops[0][3]);
  std::swap(s.ops[1][2], s.ops[1][3]);
  CHECK(interpret(s).right);
  CHECK_FALSE(prove(s).fault);
}

TEST_CASE("experts see the sequences of their whole group", "[pipeline]") {
  PipelineSchedule s = make_schedule({ScheduleKind::zb1p, 4, 8});
  std::swap(s.ops[3][s.ops[3].size() - 1], s.ops[3][s.ops[3].size() - 2]);
  // Four dense lanes keep micro-batches of one sequence apart, and so do two of a single rank's experts.
  REQUIRE_FALSE(prove(s, {1, 4, 2}).fault);
  // Of two ranks each micro-batch has a sequence in either lane.
  REQUIRE(prove(s, {1, 4, 2, 2}).fault);
  CHECK(prove(s, {1, 4, 2, 2}).fault->message() ==
        "rank 3, position 23, W0:6: adds sequence 12 of its stream to expert lane 0 after sequence "
        "14");
  CHECK_FALSE(prove(s, {1, 4, 4, 2}).fault);
}

TEST_CASE("weight gradients of different lanes may come in any order", "[pipeline]") {
  PipelineSchedule s = make_schedule({ScheduleKind::zb1p, 4, 8});
  std::swap(s.ops[3][s.ops[3].size() - 1], s.ops[3][s.ops[3].size() - 2]);
  CHECK(prove(s).fault);
  CHECK_FALSE(prove(s, {1, 2, 2}).fault);  // one sequence a micro-batch, two lanes
  CHECK(prove(s, {2, 2, 2}).fault);        // every micro-batch in both lanes
  CHECK_FALSE(prove(s, {2, 4, 4}).fault);
  REQUIRE(prove(s, {2, 4, 1}).fault);  // dense tensors would allow it, experts do not
  CHECK(prove(s, {2, 4, 1}).fault->message() ==
        "rank 3, position 23, W0:6: adds sequence 12 of its stream to expert lane 0 after sequence "
        "14");
}

TEST_CASE("ranks of an expert group have the same op at every position", "[pipeline]") {
  const PipelineSchedule s = make_schedule({ScheduleKind::dualpipe, 4, 8});
  auto other = s.ops[1];
  CHECK_FALSE(prove_group({s.ops[1], other}));
  std::swap(other[3], other[4]);
  const auto fault = prove_group({s.ops[1], s.ops[1], other});
  REQUIRE(fault);
  CHECK(fault->message() == "rank 2, position 3, F0:2: rank 0 of its expert group has F1:1 there");
  other = s.ops[1];
  other.pop_back();
  REQUIRE(prove_group({s.ops[1], other}));
  CHECK(prove_group({s.ops[1], other})->op == "nothing");
  CHECK(prove_group({s.ops[1], s.ops[2]}));  // mirrored ranks carry different directions
}
