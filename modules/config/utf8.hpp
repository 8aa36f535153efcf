#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moray {

/// The first byte of a text that a deck must not have.
struct BadByte {
  int line = 1;
  int column = 1;
  std::string what;
};

/// Looks for a byte-order mark, control characters (but tab and line ends) and sequences that are
/// not UTF-8 (overlong forms and surrogates included).
std::optional<BadByte> first_bad_byte(std::string_view text);

}  // namespace moray
