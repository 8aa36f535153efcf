// lone_error DECK: a rank whose data cannot be read in the middle of a step ends the job with its own
// message and code, though every other rank waits for it. Exits as `moray` does.
#include <Kokkos_Core.hpp>

#include "comm/progress.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"
#include "training/trainer.hpp"

namespace {

void run(const std::string& path, const moray::Communicator& ranks) {
  using namespace moray;
  const Deck deck = read_deck(
      path, {"parallel.pipeline=2", "parallel.expert=2", "parallel.data=2", "batch.micro=1"},
      nullptr, ranks.size());
  Trainer trainer(deck, ranks);
  Arena plan, arena;
  trainer.allocate(plan);
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  int samples = 0;
  const auto sample = [&](std::uint64_t g, std::span<std::int32_t> tokens) {
    if (ranks.rank() == 2 && ++samples == 7) fail(ExitCode::io, "sample {} cannot be read", g);
    std::fill(tokens.begin(), tokens.end(), static_cast<std::int32_t>(g % 200));
  };
  for (std::int64_t step = 0; step < 2; ++step) trainer.step(step, sample);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace moray;
  MpiSession mpi(argc, argv);
  Kokkos::initialize(argc, argv);
  const Communicator ranks = Communicator::world();
  try {
    run(argv[argc - 1], ranks);
  } catch (const Error& error) {
    const bool together = !requests_abandoned() && ranks.meet(2);
    fmt::print(stderr, "rank {}: {}; {}\n", ranks.rank(), error.what(),
               together ? "together" : "alone");
    if (!together) ranks.abort(static_cast<int>(error.code()));
  }
  Kokkos::finalize();
  return 0;
}
