#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"

namespace moray {

namespace {

// {"deck": ..., "valid": ..., "errors": [{"place", "line", "column", "message"}]}
void print_json(const std::string& path, const DeckReading& reading) {
  nlohmann::ordered_json result = {{"deck", path}, {"valid", reading.problems.empty()}};
  result["errors"] = nlohmann::ordered_json::array();
  for (const Problem& problem : reading.problems.sorted())
    result["errors"].push_back({{"place", to_string(problem.place, path)},
                                {"line", problem.place.line},
                                {"column", problem.place.column},
                                {"message", problem.message}});
  fmt::print("{}\n", result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

int check(const Options& options) {
  const DeckReading reading = try_read_deck(options.deck, options.overrides, options.ranks);
  const bool valid = reading.problems.empty();
  if (options.json) {
    print_json(options.deck, reading);
  } else if (valid) {
    fmt::print("{}: no errors\n", options.deck);
  } else {
    throw Error(ExitCode::usage, reading.problems.report(options.deck));
  }
  return static_cast<int>(valid ? ExitCode::done : ExitCode::usage);
}

}  // namespace moray
