#include "commands.hpp"

namespace moray {

std::vector<Command> command_table(Options& o) {
  const OptionRow deck = {"deck", "DECK", "The deck: a YAML file", &o.deck, true};
  const OptionRow overrides = {"overrides", "section.key=value ...",
                               "Keys that replace those of the deck", &o.overrides};
  const OptionRow json = {"--json", "", "Print JSON", &o.json};

  return {
      {"bench",
       "Measure on this machine: moray bench gemm, the products of a model beside OpenBLAS and "
       "oneDNN; moray bench attention, its variants",
       bench,
       {{"what", "WHAT", "gemm or attention", &o.topic, true},
        {"deck", "DECK", "Whose sizes; input/bench/moe-small.yaml if not given", &o.deck},
        overrides,
        {"--seconds", "S", "For each contestant of each row; 0.2 if not given", &o.seconds},
        json,
        {"--csv", "", "Print comma-separated values", &o.csv}}},
      {"train",
       "Train a model to the length of the deck",
       train,
       {deck,
        overrides,
        {"--out", "DIR", "Run folder; without it a new runs/<deck>-<UTC time>", &o.out},
        {"--resume", "auto|none|PATH", "Go on from the newest checkpoint, or from one", &o.resume},
        {"--time-limit", "HH:MM:SS", "Save and end with code 75 before this has passed",
         &o.time_limit},
        {"--check", "", "Check the deck and stop", &o.check},
        {"--print-deck", "", "Print the resolved deck and stop", &o.print_deck}},
       true},
      {"check",
       "Check a deck: every error with its place",
       check,
       {deck, overrides, {"--ranks", "N", "Check the layout as if N ranks ran", &o.ranks}, json}},
      {"plan",
       "Print what a deck will need: parameters, memory, operations and cache; allocates nothing",
       plan,
       {deck, overrides, {"--ranks", "N", "Plan as if N ranks ran", &o.ranks}, json}},
      {"help",
       "Explain a subcommand, or a deck: moray help deck [section]",
       help,
       {{"topic", "TOPIC", "A subcommand, or deck", &o.topic},
        {"section", "SECTION", "A section of a deck, e.g. moe or attention.yarn", &o.section}}},
      {"info", "Print build, libraries and kernel variants", info, {json}},
  };
}

}  // namespace moray
