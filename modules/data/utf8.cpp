#include "data/utf8.hpp"

namespace moray {

namespace {
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
}

std::string Utf8Stream::push(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) step(static_cast<unsigned char>(c), text);
  return text;
}

std::string Utf8Stream::finish() {
  const bool open = !held_.empty();
  held_.clear();
  missing_ = 0;
  return open ? std::string(kReplacement) : std::string();
}

// Table 3-7 of the standard: the second byte's range depends on the first, so that overlong forms,
// surrogates and values above U+10FFFF are ill-formed at once.
void Utf8Stream::step(unsigned char byte, std::string& text) {
  if (missing_ > 0) {
    if (byte >= low_ && byte <= high_) {
      held_ += static_cast<char>(byte);
      low_ = 0x80, high_ = 0xBF;
      if (--missing_ == 0) {
        text += held_;
        held_.clear();
      }
      return;
    }
    text += kReplacement;  // what was held; this byte begins anew
    held_.clear();
    missing_ = 0;
  }
  low_ = 0x80, high_ = 0xBF;
  if (byte < 0x80) {
    text += static_cast<char>(byte);
    return;
  }
  if (byte >= 0xC2 && byte <= 0xDF) {
    missing_ = 1;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    missing_ = 2;
    if (byte == 0xE0) low_ = 0xA0;
    if (byte == 0xED) high_ = 0x9F;
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    missing_ = 3;
    if (byte == 0xF0) low_ = 0x90;
    if (byte == 0xF4) high_ = 0x8F;
  } else {
    text += kReplacement;
    return;
  }
  held_ = static_cast<char>(byte);
}

}  // namespace moray
