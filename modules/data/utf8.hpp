#pragma once

#include <string>
#include <string_view>

namespace moray {

/// Makes text that is always valid UTF-8 of bytes that arrive in any pieces, as tokens do. A
/// character is held back until its last byte is there; each maximal ill-formed piece becomes
/// U+FFFD (The Unicode Standard, section 3.9, "best practice").
class Utf8Stream {
 public:
  /// The whole characters that `bytes` complete.
  std::string push(std::string_view bytes);
  /// At the end: U+FFFD for a character that never ended.
  std::string finish();

 private:
  void step(unsigned char byte, std::string& text);

  std::string held_;                        // the begin of a character
  int missing_ = 0;                         // bytes that it still needs
  unsigned char low_ = 0x80, high_ = 0xBF;  // range of the next one
};

/// Whether a byte goes on with a character that an earlier byte began.
constexpr bool is_utf8_continuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

}  // namespace moray
