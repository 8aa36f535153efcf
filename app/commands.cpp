#include "commands.hpp"

namespace moray {

std::vector<Command> command_table(Options& o) {
  const OptionRow deck = {"deck", "DECK", "The deck: a YAML file", &o.deck, true};
  const OptionRow overrides = {"overrides", "section.key=value",
                               "Keys that replace those of the deck", &o.overrides};
  const OptionRow model = {"model", "CHECKPOINT", "A checkpoint, or a run: its newest one",
                           &o.model, true};
  const OptionRow json = {"--json", "", "Print JSON", &o.json};

  return {
      {"bench",
       "Measure on this machine: moray bench gemm, the products of a model beside OpenBLAS and "
       "oneDNN; fp8-gemm, the same in FP8 and bf16; quantize, beside copies of the same bytes; "
       "attention, its variants; alltoall, the traffic of the tokens that a model's gate routes "
       "(a trained one's with init.from=RUN); progress, what moves "
       "under a computation; checkpoint, what saving costs; "
       "step, a training step in each precision",
       bench,
       {{"what", "WHAT",
         "gemm, fp8-gemm, quantize, attention, alltoall, progress, checkpoint or step", &o.topic,
         true},
        {"deck", "DECK",
         "Whose sizes; by default input/bench/moe-small.yaml, checkpoint.yaml or alltoall.yaml",
         &o.deck},
        overrides,
        {"--seconds", "S", "For each contestant of each row; 0.2 if not given", &o.seconds},
        {"--out", "DIR", "checkpoint: where it writes; the current folder if not given", &o.out},
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
      {"verify",
       "Train a few steps on several layouts of ranks and compare every bit of them",
       verify,
       {deck,
        overrides,
        {"--layouts", "LIST",
         "The reference, then others: \"d1, d2e2, p2d4e4n2b1:dualpipe:flat\": letters with "
         "numbers, "
         "p pipeline, d data and e expert ranks (1 if not given), n nodes (as the machines are), b "
         "sequences of a micro-batch (as in the deck); then, if wanted, :1f1b, :zb1p, :dualpipe or "
         ":dualpipev, and :flat or :two_hop",
         &o.layouts, true},
        {"--steps", "N", "Optimizer steps; 3 if not given", &o.steps}},
       true},
      {"check",
       "Check a deck: every error with its place",
       check,
       {deck, overrides, {"--ranks", "N", "Check the layout as if N ranks ran", &o.ranks}, json}},
      {"plan",
       "Print what a deck will need: parameters, memory, operations and cache; allocates nothing",
       plan,
       {deck,
        overrides,
        {"--ranks", "N", "Plan as if N ranks ran", &o.ranks},
        {"--schedule", "NAME|all",
         "Compare pipeline schedules: 1f1b, zb1p, dualpipe, dualpipev; the deck's if not given",
         &o.schedule},
        {"--durations", "F,B,W,FB", "ms of a micro-batch in 1 / P of the model", &o.durations},
        {"--hardware", "FILE", "Durations and memory of a machine, as input/hardware/*.yaml",
         &o.hardware},
        {"--measured", "RUN",
         "Durations of the newest step that a run of this model recorded, brought to the stages of "
         "each schedule",
         &o.measured},
        {"--communication", "MS", "From one pipeline rank to the next", &o.communication},
        {"--stages", "equal|auto|LAYERS",
         "Cost of the stages: equal (with --durations), by layers placed by cost (auto), or by the "
         "layers of each, such as 4x15,1; with --hardware and --measured as the deck says if not "
         "given",
         &o.stages},
        {"--pipeline", "P", "Pipeline ranks; the deck's if not given", &o.pipeline},
        {"--micro-batches", "N", "Of a data rank; the deck's if not given", &o.micro_batches},
        {"--timeline", "FILE.svg", "Draw what each rank does when; with all, one file a schedule",
         &o.timeline},
        {"--trace", "FILE.json", "The same as a trace for Perfetto", &o.trace},
        json}},
      {"generate",
       "Continue texts with a trained model",
       generate,
       {model,
        {"--prompt", "TEXT", "A text to continue; may be given several times", &o.prompts},
        {"--prompt-file", "FILE", "A file that is one prompt; - for standard input, as without any",
         &o.prompt_file},
        {"--prompts", "FILE", "A file with a prompt a line; - for standard input", &o.prompts_file},
        {"--batch", "N", "Prompts decoded side by side, 16 if not given; changes no text",
         &o.batch},
        {"--tokens", "N", "Tokens to make at most; 200 if not given", &o.tokens},
        {"--temperature", "T", "0.8 if not given; 0 is greedy", &o.temperature},
        {"--top-k", "K", "Draw from the K most probable tokens only", &o.top_k},
        {"--top-p", "P", "Draw from the fewest tokens that together have probability P", &o.top_p},
        {"--seed", "S", "Of the draws; 0 if not given. The same seed gives the same text", &o.seed},
        {"--greedy", "", "Always the most probable token", &o.greedy},
        json}},
      {"evaluate",
       "Score texts with a trained model: loss, perplexity, bits per byte",
       evaluate,
       {model, {"files", "FILE", "The texts; - for standard input", &o.files, true}, json}},
      {"inspect",
       "Print what a checkpoint or a run holds, or how two checkpoints differ; draw runs as a page",
       inspect,
       {{"paths", "CHECKPOINT|RUN",
         "One, two with --diff, runs with --html; of a run its newest checkpoint", &o.paths, true},
        {"--diff", "", "Compare the tensors of two: code 0 for equal bits, 5 if they differ",
         &o.diff},
        {"--join", "", "Write metrics.h5 and metrics.csv of a run from all its rows", &o.join},
        {"--all", "", "The tensors of the optimizer and FP8 forms of weights too", &o.all},
        {"--fp8", "",
         "What FP8 did to each tensor of a run in the newest step that counted; of a checkpoint, "
         "or a "
         "run that counted none, what it makes of the weights: scales and errors",
         &o.fp8},
        {"--window", "N", "Balance of the experts over the last N steps; 100 if not given",
         &o.window},
        {"--dead", "F", "An expert is dead below this part of the mean load; 0.01 if not given",
         &o.dead},
        {"--html", "FILE", "Write a page with the charts of the runs", &o.html},
        json}},
      {"help",
       "Explain a subcommand, or a deck: moray help deck [section]",
       help,
       {{"topic", "TOPIC", "A subcommand, or deck", &o.topic},
        {"section", "SECTION", "A section of a deck, e.g. moe or attention.yarn", &o.section}}},
      {"info",
       "Print build, libraries and kernel variants",
       info,
       {{"--runtime", "", "Start MPI, Kokkos and HDF5, and say what started", &o.runtime}, json}},
  };
}

}  // namespace moray
