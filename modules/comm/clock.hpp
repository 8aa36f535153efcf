#pragma once

#include "comm/communicator.hpp"
#include "core/recorder.hpp"

namespace moray {

/// How to read a clock of this rank as that of rank 0: add `seconds`; at most `error` is wrong, plus
/// what the two clocks drift apart later (some 10 microseconds a second).
struct ClockOffset {
  double seconds = 0;
  double error = 0;
};

/// Of steady_seconds(), which ranks of one machine share: machines are compared, by messages.
/// Collective.
ClockOffset clock_offset(const Communicator& ranks);

/// Of any clock, each rank's with that of another nearer to rank 0: the shortest of some round trips
/// bounds the difference. log2(ranks) exchanges one after the other, whose errors add up. Collective.
ClockOffset offset_by_messages(const Communicator& ranks, double (*clock)());

}  // namespace moray
