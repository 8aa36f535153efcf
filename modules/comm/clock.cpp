#include "comm/clock.hpp"

#include <array>
#include <limits>

namespace moray {
namespace {

constexpr int kTrips = 12;

/// This rank asks `partner` for the time, which answers between the two readings of this clock.
ClockOffset ask(const Communicator& ranks, int partner, double (*clock)()) {
  ClockOffset best{0, std::numeric_limits<double>::infinity()};
  const std::array<double, 1> question{};
  std::array<double, 1> ready{};
  ClockOffset of_partner;
  for (int trip = 0; trip < kTrips; ++trip) {
    const double before = clock();
    ranks.exchange(question, ready, partner);
    std::array<double, 3> read{};  // the partner's clock, and its offset
    ranks.exchange(std::array<double, 3>{}, read, partner);
    const double after = clock();
    of_partner = {read[1], read[2]};
    const double error = (after - before) / 2;
    if (error < best.error) best = {read[0] - (before + after) / 2, error};
  }
  return {best.seconds + of_partner.seconds, best.error + of_partner.error};
}

void answer(const Communicator& ranks, int partner, double (*clock)(), const ClockOffset& own) {
  const std::array<double, 1> ready{};
  std::array<double, 1> question{};
  std::array<double, 3> unused{};
  for (int trip = 0; trip < kTrips; ++trip) {
    ranks.exchange(ready, question, partner);
    ranks.exchange(std::array<double, 3>{clock(), own.seconds, own.error}, unused, partner);
  }
}

}  // namespace

ClockOffset offset_by_messages(const Communicator& ranks, double (*clock)()) {
  ClockOffset offset;
  // Ranks below `known` know their offset, and each tells one more.
  for (int known = 1; known < ranks.size(); known *= 2) {
    const int rank = ranks.rank();
    if (rank < known && rank + known < ranks.size()) answer(ranks, rank + known, clock, offset);
    if (rank >= known && rank < 2 * known) offset = ask(ranks, rank - known, clock);
  }
  return offset;
}

ClockOffset clock_offset(const Communicator& ranks) {
  const Communicator node = ranks.node();
  const Communicator peers = ranks.split(node.rank() == 0 ? 0 : 1, ranks.rank());
  std::array<double, 2> offset{};
  if (node.rank() == 0) {
    const ClockOffset own = offset_by_messages(peers, steady_seconds);
    offset = {own.seconds, own.error};
  }
  node.broadcast(std::span(reinterpret_cast<char*>(offset.data()), sizeof(offset)), 0);
  return {offset[0], offset[1]};
}

}  // namespace moray
