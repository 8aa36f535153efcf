#pragma once

#include <string>
#include <vector>

#include "config/section.hpp"

namespace moray {

/// All keys with their present values as YAML, the origin of each in a comment (`default`, the place
/// in the deck, or the command line). Reading it back gives the same values.
std::string resolved_deck(Section& root, const std::string& file);

/// A key that is fixed on resume and differs between two decks.
struct FixedChange {
  std::string key;
  std::string then;
  std::string now;
};

/// Compares two decks declared alike.
std::vector<FixedChange> fixed_changes(Section& then, Section& now);

}  // namespace moray
