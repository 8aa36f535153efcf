#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/place.hpp"
#include "config/section.hpp"
#include "config/tree.hpp"

namespace moray {

/// Puts `section.key=value` of a command line into a tree, over what the file says.
void apply_override(Node& tree, const std::string& text, Problems& problems);

/// Writes out as maps the values that stand for one (Section::shorthand()).
void expand_shorthands(Section& root, Node& tree);

/// Fills what `root` is bound to from a tree: unknown keys, wrong types, values out of range and
/// missing keys are added to `problems`. `folder` is the deck's.
void read_sections(Section& root, const Node& tree, const std::string& folder, Problems& problems);

/// Checks the rules of all sections whose keys could be read.
void check_rules(Section& root, Problems& problems);

/// The bytes of a file that messages call `what`, as many as a deck may have and one more. Throws Error(usage)
/// when it cannot be read.
std::string read_deck_file(const std::string& path, std::string_view what = "the deck");

}  // namespace moray
