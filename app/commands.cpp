#include "commands.hpp"

namespace moray {

std::vector<Command> command_table(Options& o) {
  const OptionRow deck = {"deck", "DECK", "The deck: a YAML file", &o.deck, true};
  const OptionRow overrides = {"overrides", "section.key=value ...",
                               "Keys that replace those of the deck", &o.overrides};
  const OptionRow model = {"model", "CHECKPOINT", "A checkpoint, or a run: its newest one",
                           &o.model, true};
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
      {"generate",
       "Continue a text with a trained model",
       generate,
       {model,
        {"--prompt", "TEXT", "The text to continue; else --prompt-file, else standard input",
         &o.prompt},
        {"--prompt-file", "FILE", "A file with the text; - for standard input", &o.prompt_file},
        {"--tokens", "N", "Tokens to make at most; 200 if not given", &o.tokens},
        {"--temperature", "T", "0.8 if not given; 0 is greedy", &o.temperature},
        {"--top-k", "K", "Draw from the K most probable tokens only", &o.top_k},
        {"--top-p", "P", "Draw from the fewest tokens that together have probability P", &o.top_p},
        {"--seed", "S", "Of the draws; 0 if not given. The same seed gives the same text", &o.seed},
        {"--greedy", "", "Always the most probable token", &o.greedy}}},
      {"evaluate",
       "Score texts with a trained model: loss, perplexity, bits per byte",
       evaluate,
       {model, {"files", "FILE ...", "The texts", &o.files, true}, json}},
      {"inspect",
       "Print what a checkpoint or a run holds, or how two checkpoints differ",
       inspect,
       {{"paths", "CHECKPOINT|RUN ...", "One, or two with --diff; of a run its newest checkpoint",
         &o.paths, true},
        {"--diff", "", "Compare the tensors of two: code 0 for equal bits, 5 if they differ",
         &o.diff},
        {"--all", "", "The tensors of the optimizer too", &o.all},
        {"--window", "N", "Balance of the experts over the last N steps; 100 if not given",
         &o.window},
        {"--dead", "F", "An expert is dead below this part of the mean load; 0.01 if not given",
         &o.dead},
        json}},
      {"help",
       "Explain a subcommand, or a deck: moray help deck [section]",
       help,
       {{"topic", "TOPIC", "A subcommand, or deck", &o.topic},
        {"section", "SECTION", "A section of a deck, e.g. moe or attention.yarn", &o.section}}},
      {"info", "Print build, libraries and kernel variants", info, {json}},
  };
}

}  // namespace moray
