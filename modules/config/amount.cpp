#include "config/amount.hpp"

#include <fmt/format.h>

#include <cmath>

#include "config/number.hpp"

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
      return fmt::format("'{}' is not a unit; write steps, samples or tokens", unit.substr(0, 40));
    }
  }
  std::int64_t whole = 0;
  if (std::string error = parse_number(number, whole); !error.empty()) return error;
  result.value = static_cast<double>(whole);
  if (std::abs(result.value) > 9007199254740992.0)
    return fmt::format("{} is more than 2^53", number);
  amount = result;
  return "";
}

}  // namespace moray
