// moray verify: layouts of ranks beside each other, bit by bit.
#include <fmt/format.h>

#include <algorithm>

#include "commands.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "runtime.hpp"
#include "training/deck.hpp"
#include "training/verify.hpp"

namespace moray {
namespace {

void print_table(const std::vector<NamedLayout>& layouts, const std::vector<Verdict>& verdicts,
                 std::int64_t steps) {
  fmt::print("{:<16} {:>5}  {}\n", "layout", "ranks", "result");
  fmt::print("{:<16} {:>5}  {} step{}, the reference\n", layouts[0].name, layouts[0].ranks(), steps,
             steps == 1 ? "" : "s");
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    fmt::print("{:<16} {:>5}  {}\n", layouts[i + 1].name, layouts[i + 1].ranks(),
               verdicts[i].equal
                   ? fmt::format("equal: every loss and {} values", verdicts[i].values)
                   : "DIFFERS at " + verdicts[i].difference);
  }
}

}  // namespace

std::int64_t verify_ranks(const Options& options) {
  std::int64_t most = 1;
  for (const NamedLayout& layout : parse_layouts(options.layouts))
    most = std::max(most, layout.ranks());
  return most;
}

int verify(const Options& options) {
  const std::vector<NamedLayout> layouts = parse_layouts(options.layouts);
  if (layouts.size() < 2)
    fail(ExitCode::usage, "moray verify: --layouts names one layout; there is nothing to compare");
  if (options.steps < 1) fail(ExitCode::usage, "moray verify: --steps is at least 1");
  std::vector<Deck> decks;  // errors of all layouts before anything runs
  for (const NamedLayout& layout : layouts) {
    std::vector<std::string> overrides = options.overrides;
    for (const std::string& key : layout.overrides()) overrides.push_back(key);
    decks.push_back(read_deck(options.deck, overrides, nullptr, layout.ranks()));
  }
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    if (ranks.size() < verify_ranks(options)) {
      fail(ExitCode::usage, "moray verify: the layouts need {} ranks, {} run; start it with -n {}",
           verify_ranks(options), ranks.size(), verify_ranks(options));
    }
    select_kernels(decks[0]);
    const std::size_t slash = options.deck.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : options.deck.substr(0, slash);
    const std::vector<Verdict> verdicts =
        verify_layouts(layouts, decks, folder, options.steps, ranks);
    std::int64_t differences = 0;
    for (const Verdict& verdict : verdicts) differences += verdict.equal ? 0 : 1;
    if (ranks.rank() == 0) print_table(layouts, verdicts, options.steps);
    if (ranks.rank() != 0) differences = 0;
    ranks.maximum(std::span(&differences, 1));
    return differences == 0 ? ExitCode::done : ExitCode::numerics;
  });
}

}  // namespace moray
