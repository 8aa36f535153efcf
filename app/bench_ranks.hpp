#pragma once

#include <mpi.h>

#include <algorithm>
#include <span>
#include <vector>

#include "comm/communicator.hpp"

namespace moray {

/// What benchmarks on several ranks share.

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Seconds of this rank from a barrier until it has done `work`.
template <class Work>
double timed_here(const Communicator& ranks, const Work& work) {
  ranks.barrier();
  const double begin = MPI_Wtime();
  work();
  return MPI_Wtime() - begin;
}

/// Seconds from a barrier until the slowest rank has done `work`.
template <class Work>
double timed(const Communicator& ranks, const Work& work) {
  double seconds = timed_here(ranks, work);
  ranks.maximum(std::span(&seconds, 1));
  return seconds;
}

}  // namespace moray
