#pragma once

#include <cstdint>
#include <string>

#include "comm/communicator.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"

namespace moray {

/// What `moray train` was asked for.
struct TrainRequest {
  std::string deck_path;
  DeckReading reading;          ///< without problems
  std::string out;              ///< run folder; empty: a new one under runs/
  std::string resume = "none";  ///< auto | none | path of a checkpoint or of a run
  std::int64_t time_limit = 0;  ///< seconds; 0: none
};

/// Trains to the length of the deck, or until asked to stop: returns `done` or `resubmit`. Called
/// by all ranks, with Kokkos and MPI initialised. Throws Error.
ExitCode train(const TrainRequest& request, const Communicator& ranks);

}  // namespace moray
