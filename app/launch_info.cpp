#include <fmt/format.h>

#include "commands.hpp"
#include "core/error.hpp"
#include "training/deck.hpp"

namespace moray {

int launch_info(const Command& command, const Options& options) {
  if (!command.on_ranks || options.deck.empty())
    fail(ExitCode::usage, "moray {} runs on one rank", command.name);
  const Deck deck = read_deck(options.deck, options.overrides);
  const std::int64_t ranks = options.layouts.empty() ? deck.run.ranks : verify_ranks(options);
  fmt::print("ranks={} threads={}\n", ranks, deck.run.threads);
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
