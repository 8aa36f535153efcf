#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace moray {

/// What was said on the command line. Each subcommand uses its own part; the table in commands.cpp
/// says which.
struct Options {
  std::string deck;                    ///< path of the deck
  std::vector<std::string> overrides;  ///< section.key=value
  std::string topic;                   ///< help: "deck" or a subcommand
  std::string section;                 ///< help deck: a section
  std::string out;                     ///< run folder; empty: runs/<deck>-<UTC time>
  std::string resume = "none";         ///< auto | none | path of a checkpoint
  std::string time_limit;              ///< HH:MM:SS; empty: none
  std::int64_t ranks = 0;              ///< check: as if so many ranks ran; 0: what the deck says
  bool print_deck = false;             ///< train: print the resolved deck and stop
  bool check = false;                  ///< train: check everything and stop
  std::string model;                   ///< a checkpoint, or a run: its newest one
  std::vector<std::string> paths;      ///< inspect: checkpoints or runs
  std::string html;                    ///< inspect: the page to write; empty: none
  std::vector<std::string> files;      ///< evaluate: texts
  std::vector<std::string> prompts;    ///< generate
  std::string prompts_file;            ///< generate: a prompt a line, - for standard input
  std::string prompt_file;             ///< generate: a file, - for standard input
  std::int64_t batch = 16;             ///< generate: prompts decoded side by side
  std::int64_t tokens = 200;           ///< generate: most tokens to make
  double temperature = 0.8;            ///< generate
  std::int64_t top_k = 0;              ///< generate; 0: all
  double top_p = 1;                    ///< generate
  std::int64_t seed = 0;               ///< generate
  bool greedy = false;                 ///< generate: temperature 0
  bool all = false;                    ///< inspect: the optimizer's tensors too
  bool fp8 = false;                    ///< inspect: what FP8 did in a run, or makes of a checkpoint
  bool diff = false;                   ///< inspect: compare two checkpoints
  bool join = false;                   ///< inspect: write metrics.h5 and metrics.csv of a run
  std::int64_t window = 100;           ///< inspect: the last so many steps, for the balance
  double dead = 0.01;              ///< inspect: below this part of the mean load an expert is dead
  std::string schedule;            ///< plan: a schedule, or all; empty: none
  std::string durations;           ///< plan: F,B,W,FB in ms
  std::string hardware;            ///< plan: a hardware file, in place of durations
  std::string measured;            ///< plan: a run, in place of durations
  std::string stages;              ///< plan: equal, auto, or layers of each stage
  double communication = -1;       ///< plan: ms between pipeline ranks; -1: the hardware's, or 0
  std::int64_t pipeline = 0;       ///< plan: pipeline ranks; 0: the deck's
  std::int64_t micro_batches = 0;  ///< plan: of a data rank; 0: the deck's
  std::string timeline;            ///< plan: SVG file
  std::string trace;               ///< plan: Perfetto trace file
  bool runtime = false;            ///< info: start MPI, Kokkos and HDF5 too
  std::string layouts;             ///< verify: the reference, then others
  std::int64_t steps = 3;          ///< verify
  bool json = false;
  bool csv = false;      ///< bench
  double seconds = 0.2;  ///< bench: for each contestant of each row

  /// --kokkos-*, kept for Kokkos::initialize.
  std::vector<std::string> kokkos_arguments;
};

/// What an option or a positional argument fills. A list that belongs to an option takes one value
/// each time that the option is given.
using OptionTarget =
    std::variant<bool*, std::string*, std::int64_t*, double*, std::vector<std::string>*>;

/// One row of the table that feeds both the parser and --help.
struct OptionRow {
  const char* name;   ///< "--out", or "deck" for a positional argument
  const char* value;  ///< what --help shows for the value; "" for a switch
  const char* doc;
  OptionTarget target;
  bool required = false;
};

/// One subcommand.
struct Command {
  const char* name;
  const char* doc;
  int (*run)(const Options&);
  std::vector<OptionRow> rows;
  bool on_ranks = false;  ///< starts MPI: the launcher gives it the ranks that the deck asks for
};

/// Parses a command line into `options`, to which the table's rows are bound, and returns the command
/// to run. Returns null when the answer (help, version) has been printed. Throws Error(usage) for an
/// unknown subcommand, flag or argument, with the nearest name.
const Command* parse_command_line(int argc, char** argv, const std::vector<Command>& table,
                                  Options& options);

/// The help text of one subcommand, or of the program when `name` is empty. Throws Error(usage) when
/// there is no such subcommand.
std::string command_help(const std::vector<Command>& table, const std::string& name);

/// "01:30:00" -> 5400; throws Error(usage).
std::int64_t seconds_of(const std::string& time_limit);

}  // namespace moray
