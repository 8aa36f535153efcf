#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moray {

/// Each returns an empty string and sets `value`, or says what is wrong with `text`. Strict: decimal
/// only, no sign but -, nothing octal-looking (0777), no inf and no nan, nothing left over.
/// Integers may be written as floats with an integral value (1e5, 4096.0).
std::string parse_number(std::string_view text, std::int64_t& value);
std::string parse_number(std::string_view text, std::uint64_t& value);
std::string parse_number(std::string_view text, double& value);

}  // namespace moray
