#include "config/utf8.hpp"

#include <fmt/format.h>

#include <cstdint>

namespace moray {

namespace {

// Bytes of the sequence that starts at `at`, or 0 when it is not UTF-8 (Unicode, table 3-7).
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::optional<BadByte> first_bad_byte(std::string_view text) {
  BadByte place;
  if (text.substr(0, 3) == "\xef\xbb\xbf") {
    place.what = "a byte-order mark; save the file as UTF-8 without one";
    return place;
  }
  for (std::size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f) {
      place.what = fmt::format("control character 0x{:02x}", c);
      return place;
    }
    const std::size_t length = sequence_length(text, at);
    if (length == 0) {
      place.what = fmt::format("byte 0x{:02x} is not UTF-8", c);
      return place;
    }
    at += length;
    if (c == '\n') {
      ++place.line;
      place.column = 1;
    } else {
      place.column += static_cast<int>(length);
    }
  }
  return std::nullopt;
}

}  // namespace moray
