#include "config/number.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "config/place.hpp"

namespace moray {

namespace {

constexpr double kLargestExact = 9007199254740992.0;  // 2^53

bool looks_octal(std::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' && text[1] != '.' && text[1] != 'e' && text[1] != 'E';
}

template <class T>
std::string parse_integer(std::string_view text, T& value) {
  if (looks_octal(text))
    return fmt::format("'{}' has a leading zero (octal elsewhere); write it without", shown(text));
  const char* end = text.data() + text.size();
  T whole = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, whole);
  if (error == std::errc() && stop == end && !text.empty()) {
    value = whole;
    return "";
  }
  if (error == std::errc::result_out_of_range && stop == end)
    return fmt::format("{} does not fit into 64 bits", shown(text));
  double real = 0;
  if (!parse_number(text, real).empty()) return fmt::format("'{}' is not an integer", shown(text));
  if (real != std::floor(real)) return fmt::format("{} is not an integer", shown(text));
  if (std::abs(real) > kLargestExact)
    return fmt::format("{} is more than 2^53; write it as an integer", shown(text));
  if (real < 0 && !std::numeric_limits<T>::is_signed)
    return fmt::format("{} is negative", shown(text));
  value = static_cast<T>(real);
  return "";
}

}  // namespace

std::string parse_number(std::string_view text, std::int64_t& value) {
  return parse_integer(text, value);
}

std::string parse_number(std::string_view text, std::uint64_t& value) {
  return parse_integer(text, value);
}

std::string parse_number(std::string_view text, double& value) {
  if (looks_octal(text))
    return fmt::format("'{}' has a leading zero (octal elsewhere); write it without", shown(text));
  const char* end = text.data() + text.size();
  double real = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, real);
  if (error == std::errc::result_out_of_range && stop == end)
    return fmt::format("{} does not fit into a float64", shown(text));
  if (error != std::errc() || stop != end || text.empty())
    return fmt::format("'{}' is not a number", shown(text));
  if (!std::isfinite(real)) return fmt::format("{} is not a finite number", shown(text));
  value = real;
  return "";
}

}  // namespace moray
