// verify_layouts DECK LIST [--expect TEXT | key=value...]: every layout of the list against the first, 2 steps. With
// --expect a layout must differ, and its difference must say TEXT: for programs with a fault. Where none differs
// nothing may have been gathered: what is compared is spread over ranks.
#include <Kokkos_Core.hpp>

#include "core/error.hpp"
#include "training/deck.hpp"
#include "training/verify.hpp"

namespace {
std::int64_t gathered = 0;  ///< bytes that came to this rank as the root of a gather
}

/// In front of that of MPI.
extern "C" int MPI_Gatherv(const void* out, int count, MPI_Datatype type, void* in,
                           const int counts[], const int places[], MPI_Datatype in_type, int root,
                           MPI_Comm comm) {
  int rank = 0, size = 0;
  PMPI_Comm_rank(comm, &rank);
  PMPI_Comm_size(comm, &size);
  for (int other = 0; rank == root && other < size; ++other)
    gathered += other == rank ? 0 : counts[other];
  return PMPI_Gatherv(out, count, type, in, counts, places, in_type, root, comm);
}

int main(int argc, char** argv) {
  using namespace moray;
  MpiSession mpi(argc, argv);
  int code = 1;
  Kokkos::initialize(argc, argv);
  try {
    const Communicator world = Communicator::world();
    const bool fault = argc == 5 && std::string(argv[3]) == "--expect";
    MORAY_REQUIRE(argc >= 3);
    const std::vector<std::string> keys(argv + 3, argv + (fault ? 3 : argc));
    const std::vector<NamedLayout> layouts = parse_layouts(argv[2]);
    std::vector<Deck> decks;
    for (const NamedLayout& layout : layouts) {
      std::vector<std::string> overrides = layout.overrides();
      overrides.insert(overrides.end(), keys.begin(), keys.end());
      decks.push_back(read_deck(argv[1], overrides, nullptr, layout.ranks()));
    }
    const std::vector<Verdict> verdicts = verify_layouts(layouts, decks, ".", 2, world);
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < verdicts.size() && world.rank() == 0; ++i) {
      const std::string& difference = verdicts[i].difference;
      fmt::print("{}: {}\n", layouts[i + 1].name, verdicts[i].equal ? "equal" : difference);
      const bool expected =
          fault ? difference.find(argv[4]) != std::string::npos : verdicts[i].equal;
      if (!expected) ++wrong;
    }
    if (!fault && gathered > 0) {
      fmt::print("rank {} gathered {} bytes\n", world.rank(), gathered);
      ++wrong;
    }
    world.maximum(std::span(&wrong, 1));
    code = wrong == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  Kokkos::finalize();
  return code;
}
