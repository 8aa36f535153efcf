#include "config/amount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "config/number.hpp"
#include "config/place.hpp"

namespace moray {

std::string to_string(const Amount& amount) {
  static constexpr const char* kUnits[] = {"steps", "samples", "tokens"};
  return fmt::format("{} {}", amount.value, kUnits[static_cast<int>(amount.unit)]);
}

std::string parse_amount(std::string_view text, Amount& amount) {
  Amount result;
  const std::size_t space = text.find(' ');
  const std::string_view number = text.substr(0, space);
  if (space != std::string_view::npos) {
    std::string_view unit = text.substr(space);
    unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    if (unit == "samples" || unit == "sample") {
      result.unit = Amount::Unit::samples;
    } else if (unit == "tokens" || unit == "token") {
      result.unit = Amount::Unit::tokens;
    } else if (unit != "steps" && unit != "step") {
      return fmt::format("'{}' is not a unit; write steps, samples or tokens", shown(unit));
    }
  }
  std::int64_t whole = 0;
  if (std::string error = parse_number(number, whole); !error.empty()) return error;
  // Beyond 2^53 the float64 that an amount is would be another number.
  if (std::abs(whole) > std::int64_t{1} << 53)
    return fmt::format("{} is more than 2^53", shown(number));
  result.value = static_cast<double>(whole);
  amount = result;
  return "";
}

}  // namespace moray
