#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/place.hpp"
#include "config/resolved.hpp"
#include "training/training_config.hpp"

namespace moray {

/// A deck as read, with what is wrong with it.
struct DeckReading {
  Deck deck;
  std::string text;      ///< the file, byte by byte
  std::string resolved;  ///< every value with its origin; empty when there are problems
  Problems problems;
};

/// Reads a deck and what the command line changes in it (`section.key=value`). `ranks` above 0 is
/// the number of ranks that really run: it replaces run.ranks. Throws Error(usage) only when the
/// file cannot be read.
DeckReading try_read_deck(const std::string& path, const std::vector<std::string>& overrides = {},
                          std::int64_t ranks = 0);

/// The same from text; `path` names it in messages and its folder is that of relative paths.
DeckReading read_deck_text(const std::string& text, const std::string& path,
                           const std::vector<std::string>& overrides = {}, std::int64_t ranks = 0);

/// The same for who wants a deck or an error: throws Error(usage) that lists every problem with its
/// place. Sets `resolved` to the resolved deck when given.
Deck read_deck(const std::string& path, const std::vector<std::string>& overrides = {},
               std::string* resolved = nullptr, std::int64_t ranks = 0);

/// The keys that are fixed on resume and differ between the resolved deck of a checkpoint and the
/// deck of now. Throws Error(usage) naming each with both values and the way out; does nothing when
/// there is none. `checkpoint` and `deck` are the paths that the message names.
void require_resumable(const std::string& resolved_then, const std::string& resolved_now,
                       const std::string& checkpoint, const std::string& deck);

}  // namespace moray
