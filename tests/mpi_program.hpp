#pragma once

#include <Kokkos_Core.hpp>

#include "comm/communicator.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"
#include "training/verify.hpp"

/// What test programs that run on several ranks share.
namespace moray::test {

/// main(): body(world) with MPI and Kokkos started, and its exit code. What it throws ends all ranks.
template <class Body>
int run_on_ranks(int argc, char** argv, const Body& body) {
  const MpiSession mpi(argc, argv);
  Kokkos::initialize(argc, argv);
  int code = 2;
  {
    const Communicator world = Communicator::world();
    try {
      MORAY_REQUIRE(argc >= 3);
      code = body(world);
    } catch (const std::exception& error) {
      fmt::print(stderr, "rank {}: {}\n", world.rank(), error.what());
      world.abort(2);
    }
  }
  Kokkos::finalize();
  return code;
}

/// body(layout, deck, ranks) for each layout of a list, on as many ranks as it has.
template <class Body>
void for_each_layout(const std::string& path, const std::string& list,
                     const std::vector<std::string>& keys, const Communicator& world,
                     const Body& body) {
  for (const NamedLayout& layout : parse_layouts(list)) {
    const bool takes_part = world.rank() < layout.ranks();
    const Communicator ranks = world.split(takes_part ? 0 : 1, world.rank());
    if (!takes_part) continue;
    std::vector<std::string> overrides = keys;
    for (const std::string& key : layout.overrides()) overrides.push_back(key);
    body(layout, read_deck(path, overrides, nullptr, layout.ranks()), ranks);
  }
}

}  // namespace moray::test
