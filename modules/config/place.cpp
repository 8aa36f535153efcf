#include "config/place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace moray {

namespace {
constexpr std::size_t kMostLines = 100;  // on a screen
constexpr std::size_t kMostText = 60;    // of a text in a message
}  // namespace

std::string to_string(const Place& place, const std::string& file) {
  switch (place.origin) {
    case Place::Origin::command_line:
      return "command line";
    case Place::Origin::launcher:
      return "ranks launched";
    case Place::Origin::file:
      return fmt::format("{}:{}:{}", file, place.line, place.column);
    case Place::Origin::by_default:
      break;
  }
  return fmt::format("{}:1:1", file);
}

std::string shown(std::string_view text) {
  if (text.size() <= kMostText) return std::string(text);
  return std::string(text.substr(0, kMostText)) + "...";
}

void Problems::add(Place place, std::string message) {
  if (!full()) list_.push_back({place, std::move(message)});
}

std::vector<Problem> Problems::sorted() const {
  std::vector<Problem> result = list_;
  const auto rank = [](const Problem& p) {
    return std::tuple(p.place.origin == Place::Origin::command_line, p.place.line, p.place.column);
  };
  std::stable_sort(result.begin(), result.end(),
                   [&](const Problem& a, const Problem& b) { return rank(a) < rank(b); });
  return result;
}

std::string Problems::report(const std::string& file) const {
  std::string text;
  const std::vector<Problem> problems = sorted();
  for (std::size_t i = 0; i < std::min(problems.size(), kMostLines); ++i)
    text += fmt::format("{}: {}\n", to_string(problems[i].place, file), problems[i].message);
  if (problems.size() > kMostLines)
    text += fmt::format("... and {} more\n", problems.size() - kMostLines);
  return text + fmt::format("{} error{}. Nothing was started.", problems.size(),
                            problems.size() == 1 ? "" : "s");
}

}  // namespace moray
