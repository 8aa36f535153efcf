// Once warm, a training step takes no memory: neither from Kokkos (Tools callbacks) nor through
// operator new, but for the report that it returns (docs/design.md: the plan is the allocator).
#include <atomic>
#include <cmath>

#include "catch.hpp"
#include "core/arena.hpp"
#include "core/recorder.hpp"
#include "counting_new.hpp"
#include "data/data.hpp"
#include "mpi_world.hpp"
#include "training/trainer.hpp"

namespace {
std::atomic<long> kokkos_allocations{0};
std::atomic<long> launches{0};
std::atomic<long> fences{0};
}  // namespace

using namespace moray;
using moray::test::world;

namespace {

Deck small_deck() {
  Deck deck;
  deck.model.model = {
      .vocabulary = 260, .width = 32, .layers = 3, .dense_layers = 1, .dense_width = 64};
  deck.model.attention.heads = 2;
  deck.model.attention.nope_width = 16;
  deck.model.attention.rope_width = 8;
  deck.model.attention.value_width = 16;
  deck.model.attention.latent = 16;
  deck.model.attention.query_latent = 24;
  deck.model.moe.experts = 4;
  deck.model.moe.top_k = 2;
  deck.model.moe.shared_experts = 1;
  deck.model.moe.width = 16;
  deck.model.mtp.depth = 1;
  deck.batch.sequences = 8;
  deck.batch.micro = 2;
  deck.batch.length = 32;
  deck.parallel.lanes = 4;
  deck.parallel.expert_lanes = 4;
  deck.length = {100};
  return deck;
}

void check_warm_step(const Deck& deck) {
  Trainer trainer(deck, world());
  Arena plan;
  trainer.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  // The data have their own tests; here a sample is a formula.
  const Trainer::Sample sample = [](std::uint64_t g, std::span<std::int32_t> tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<std::int32_t>((g * 31 + i * i) % 256);
  };
  kokkos_allocations = 0;
  for (std::int64_t step = 0; step < 3; ++step) trainer.step(step, sample);

  Kokkos::Tools::Experimental::set_allocate_data_callback(
      [](Kokkos::Tools::SpaceHandle, const char*, const void*, std::uint64_t) {
        ++kokkos_allocations;
      });
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(
      [](const char*, std::uint32_t, std::uint64_t*) { ++launches; });
#if KOKKOS_VERSION >= 30500
  Kokkos::Tools::Experimental::set_begin_fence_callback(
      [](const char*, std::uint32_t, std::uint64_t*) { ++fences; });
#endif
  // The reports are vectors of losses and loads, and the work of the ranks is one std::function.
  const std::size_t moe_layers = trainer.model().moe_layers().size();
  const long reported = test::count_allocations([&] {
    StepReport report;
    report.mtp.push_back(1);
    for (std::size_t layer = 0; layer < moe_layers; ++layer) report.loads.emplace_back(4);
  });
  // Newer versions of Kokkos copy the label of each launch and fence: what an empty one takes is not
  // ours.
  static const std::string label = "moray::test::an empty launch of a kernel";
  const ExecSpace exec;
  const auto launch = [&] { parallel_for(label, exec, 1, KOKKOS_LAMBDA(std::int64_t){}); };
  launch();
  const long a_launch = test::count_allocations(launch);
  const auto wait = [&] { fence(exec, "moray::test::a fence with nothing to wait for"); };
  wait();
  const long a_fence = test::count_allocations(wait);
  // What a step takes beyond its launches and fences.
  const auto own = [&](const auto& step) {
    launches = fences = 0;
    const long all = test::count_allocations(step);
    return all - a_launch * launches - a_fence * fences;
  };
  Recorder recorder;
  recorder.reserve(4000);
  StepReport report;
  const long first = own([&] { report = trainer.step(3, sample); });
  const long second = own([&] { trainer.step(4, sample); });
  const long recorded = own([&] {
    const Recorder::Recording recording(recorder);
    trainer.step(5, sample);
  });
  Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(nullptr);
#if KOKKOS_VERSION >= 30500
  Kokkos::Tools::Experimental::set_begin_fence_callback(nullptr);
#endif
  CHECK(launches > 50);
  CHECK(std::isfinite(report.loss));
  CHECK(kokkos_allocations == 0);
  CHECK(first == second);
  CHECK(first == recorded);
  CHECK(recorder.lost() == 0);
  CHECK(recorder.spans().size() > 50);
  // The counter counts; a new-expression the compiler may leave out.
  CHECK(test::count_allocations([] { ::operator delete(::operator new(4)); }) == 1);
  CHECK(first <= reported + 2);  // and the host copy of one layer's biases
}

}  // namespace

TEST_CASE("a warm step allocates nothing", "[trainer]") {
  check_warm_step(small_deck());
}

TEST_CASE("nor does one in bf16 or FP8", "[trainer]") {
  for (const char* compute : {"bf16", "fp8"}) {
    for (const bool recompute : {true, false}) {
      Deck deck = small_deck();
      deck.model.precision.compute = compute;
      deck.run.recompute = recompute;
      CAPTURE(compute, recompute);
      check_warm_step(deck);
    }
  }
}

TEST_CASE("nor does one of a pipeline", "[trainer][mpi]") {
  for (const ScheduleKind kind : kScheduleKinds) {
    if (world().size() == 1) return;
    Deck deck = small_deck();
    deck.model.model.layers = 7;
    deck.batch.sequences = 16;
    deck.run.ranks = deck.parallel.pipeline = world().size();
    deck.parallel.schedule = schedule_name(kind);
    CAPTURE(deck.parallel.schedule);
    check_warm_step(deck);
  }
}
