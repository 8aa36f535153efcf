// arena_bytes DECK LAYOUTS [key=value...]: takes the memory of a run on each layout of a list such as "d1, p2d2:zb1p" and
// compares, on every rank and by category, what the real arena handed out with what the plan says of that
// rank, and on the first rank of each place with what `moray plan` prints.
#include "mpi_program.hpp"
#include "planning/plan.hpp"
#include "training/fp8_state.hpp"
#include "training/saver.hpp"
#include "training/state.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

std::int64_t differences(const std::string& name, const char* with, const Communicator& ranks,
                         const RankMemory& planned, const Arena& arena) {
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < kMemoryNames.size(); ++i) {
    const std::int64_t taken = arena.bytes(static_cast<Memory>(i));
    if (planned.bytes[i] == taken) continue;
    ++wrong;
    fmt::print("{}: rank {}: {}: {} has {}, the arena {}\n", name, ranks.rank(), kMemoryNames[i],
               with, planned.bytes[i], taken);
  }
  return wrong;
}

std::int64_t compare(const NamedLayout& named, const Deck& deck, const Communicator& ranks) {
  Trainer trainer(deck, ranks);
  const auto take = [&](Arena& arena) {
    trainer.allocate(arena);
    const Fp8Saving fp8 =
        allocate_fp8_saving(arena, deck.checkpoint.fp8_weights, trainer.model().parameters());
    const GateChoice gates = [&](std::size_t layer) { return trainer.saves_gate(layer); };
    allocate_snapshot(arena, deck.checkpoint,
                      owned_bytes(trainer.model(), trainer.optimizer(), gates, fp8));
  };
  Arena counted;
  take(counted);
  Arena arena;
  arena.reserve(counted);
  take(arena);
  const MeshShape shape = mesh_shape(deck, ranks.size());
  const MeshPlace& place = trainer.mesh().place();
  std::int64_t wrong = differences(named.name, "its plan", ranks,
                                   plan_rank_memory(deck, rank_layout(deck, shape, place)), arena);
  const auto at = static_cast<std::size_t>(place.pipeline);
  if (place.data == 0)
    wrong += differences(named.name, "moray plan", ranks, make_plan(deck).places[at].memory, arena);
  return wrong;
}

int run(const std::string& path, const std::string& list, const std::vector<std::string>& keys,
        const Communicator& world) {
  std::int64_t wrong = 0;
  test::for_each_layout(
      path, list, keys, world,
      [&](const NamedLayout& layout, const Deck& deck, const Communicator& ranks) {
        std::int64_t differ = compare(layout, deck, ranks);
        ranks.sum(std::span(&differ, 1));
        wrong += differ;
        if (world.rank() == 0) fmt::print("{}: {} differences\n", layout.name, differ);
      });
  world.maximum(std::span(&wrong, 1));
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace moray

int main(int argc, char** argv) {
  return moray::test::run_on_ranks(argc, argv, [&](const moray::Communicator& world) {
    return moray::run(argv[1], argv[2], {argv + 3, argv + argc}, world);
  });
}
