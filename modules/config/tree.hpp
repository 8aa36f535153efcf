#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/place.hpp"

namespace moray {

/// One value of a deck as it was written: a scalar, a list or a map, with its place.
struct Node {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Place place;
  std::string text;      ///< of a scalar
  bool quoted = false;   ///< a scalar in quotes is text, never a number
  bool refused = false;  ///< an alias or a tagged value: already reported, without a meaning
  std::string key;       ///< the name of this value when it stands in a map
  Place key_place;
  std::vector<Node> children;  ///< of a list or a map, in the order of the file

  const Node* find(std::string_view name) const;
};

/// Reads YAML into a tree without ever expanding it. Refuses what a deck has no use for and what
/// makes a YAML reader dangerous: more than 1 MB, deep nesting, anchors and aliases (a few bytes can
/// stand for billions of nodes, or for a cycle), tags, more than one document, duplicate keys, keys
/// that are not plain text, bytes that are not UTF-8. Every refusal is added to `problems` with its
/// place; the tree then holds what could be read.
Node parse_yaml(std::string_view text, Problems& problems);

inline constexpr std::size_t kLargestDeck = 1'000'000;  ///< bytes
inline constexpr std::size_t kDeepestDeck = 16;         ///< nested lists and maps

/// A tree as YAML on one line, quoted so that it reads back the same.
std::string to_flow_yaml(const Node& node);
/// Text in double quotes with YAML's escapes.
std::string quote_yaml(std::string_view text);

}  // namespace moray
