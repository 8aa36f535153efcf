#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moray {

/// A layout of ranks as `moray verify` names it: letters with numbers, "p2d4e2n2b1:dualpipe:flat":
/// pipeline, data and expert ranks, nodes that the data ranks are said to be on, sequences of a
/// micro-batch, the schedule, and how tokens go.
struct NamedLayout {
  std::string name;
  std::int64_t pipeline = 1;
  std::int64_t data = 1;
  std::int64_t expert = 1;
  std::int64_t nodes = 0;  ///< 0: as the machines are
  std::int64_t micro = 0;  ///< 0: as in the deck
  std::string traffic = "auto";
  std::string schedule = "auto";

  std::int64_t ranks() const { return pipeline * data; }
  /// Keys that replace those of the deck.
  std::vector<std::string> overrides() const;
};

/// "d1, d2e2, d4e4n2". Throws Error(usage) naming the word that is not understood.
std::vector<NamedLayout> parse_layouts(const std::string& list);

}  // namespace moray
