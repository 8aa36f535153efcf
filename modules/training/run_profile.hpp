#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "core/kernel_times.hpp"

namespace moray {

/// What a start of a run measured of itself, kept in `<run>/profile.json`. Written when the run
/// starts, at each checkpoint and at the end; a later start replaces it.
struct RunProfile {
  struct Part {
    std::string name;  ///< of the timer; "step/forward" is a part of "step"
    std::int64_t calls = 0;
    double slowest = 0;  ///< seconds of the slowest rank
    double mean = 0;     ///< mean over ranks
  };
  std::int64_t ranks = 1;
  std::int64_t threads = 1;  ///< a rank
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;
  double seconds = 0;  ///< from the start to this writing
  std::vector<Part> parts;
  /// Of rank 0, those that took longest first; empty where kernels are not counted.
  std::vector<KernelTimes::Kernel> kernels;

  /// Bytes that a rank sent in a step, mean over the steps of this start, of each kind (link_bytes.hpp) of which
  /// there were any: inside its node and across nodes, mean over ranks and of the rank that sent most.
  struct Sent {
    std::string name;
    double inside_mean = 0, inside_most = 0;
    double across_mean = 0, across_most = 0;
  };
  std::vector<Sent> sent;

  /// Where experts are spread over ranks: tokens that the MoE layers of all ranks had in a step, mean over the
  /// steps of this start, and the copies that one of them was sent in: to other nodes and to other ranks of a
  /// node, mean over these tokens. No tokens: experts are not spread, or there was no step.
  struct TokenCopies {
    double tokens = 0;
    double across = 0, inside = 0;
  };
  TokenCopies copies;

  // Bytes; the largest of all ranks.
  std::int64_t started = 0;  ///< resident before the session took anything: program and libraries
  std::int64_t peak = 0;     ///< resident at most so far
  std::array<std::int64_t, kMemoryNames.size()> arena = {};  ///< taken, by category
};

std::string run_profile_path(const std::string& run);
/// Throws Error(io).
void write_run_profile(const std::string& run, const RunProfile& profile);
/// Throws Error(io) when the file is not there or is none of this format.
RunProfile read_run_profile(const std::string& run);

/// The most memory that this process has had resident, in bytes; 0 where /proc does not say.
std::int64_t peak_resident_bytes();

}  // namespace moray
