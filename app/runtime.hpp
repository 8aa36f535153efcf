#pragma once

#include <functional>
#include <memory>

#include "comm/communicator.hpp"
#include "core/error.hpp"
#include "options.hpp"
#include "training/training_config.hpp"

namespace moray {

/// Kokkos alone, for the subcommands that compute in one process.
class KokkosSession {
 public:
  explicit KokkosSession(const Options& options);
  ~KokkosSession();
  KokkosSession(const KokkosSession&) = delete;
  KokkosSession& operator=(const KokkosSession&) = delete;
};

/// MPI and Kokkos for the subcommands that compute.
class Runtime {
 public:
  explicit Runtime(const Options& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Runs `work` on all ranks and returns the exit code, the same on every rank: mpirun kills the
  /// others as soon as one leaves with another. An error that only one rank met ends the job.
  int run(const std::function<ExitCode(const Communicator&)>& work);

 private:
  std::unique_ptr<MpiSession> mpi_;
};

/// Forces the variants that the deck names; under `determinism: exact` refuses to go on when the
/// processor's arithmetic is not exact, under `run` lets vendor libraries in.
void select_kernels(const Deck& deck);

}  // namespace moray
