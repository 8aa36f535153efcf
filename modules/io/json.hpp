#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace moray {

/// Bounds of a JSON text that this program did not write itself.
struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;
  int depth = 8;
};

/// Parses UTF-8 JSON by SAX under these bounds. A text that is larger or nested deeper, has a
/// duplicate key, or is no JSON at all throws Error(io) naming `place` and the byte.
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits,
                          const std::string& place);

/// Typed members of an object; a missing one or another type throws Error(io) naming both.
const nlohmann::json& json_member(const nlohmann::json& object, const char* key,
                                  const std::string& place);
std::int64_t json_integer(const nlohmann::json& object, const char* key, const std::string& place);
const std::string& json_string(const nlohmann::json& object, const char* key,
                               const std::string& place);
const nlohmann::json& json_array(const nlohmann::json& object, const char* key,
                                 const std::string& place);

}  // namespace moray
