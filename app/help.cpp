#include <fmt/format.h>

#include "commands.hpp"
#include "config/reference.hpp"
#include "core/error.hpp"
#include "training/training_config.hpp"

namespace moray {

int help(const Options& options) {
  if (options.topic == "deck") {
    Deck deck;
    Section root = declare_deck(deck);
    fmt::print("{}", deck_reference(root, options.section));
  } else {
    if (!options.section.empty())
      fail(ExitCode::usage, "only `moray help deck` has sections ('{}')", options.section);
    Options unused;
    fmt::print("{}", command_help(command_table(unused), options.topic));
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
