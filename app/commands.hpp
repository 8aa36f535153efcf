#pragma once

#include <vector>

#include "options.hpp"

namespace moray {

// One file each in this folder. They return the exit code and throw Error.
int bench(const Options& options);
int check(const Options& options);
int evaluate(const Options& options);
int generate(const Options& options);
int help(const Options& options);
int info(const Options& options);
int inspect(const Options& options);
int plan(const Options& options);
int train(const Options& options);
int verify(const Options& options);

/// Ranks that the largest layout of a `verify` needs. Throws Error(usage).
std::int64_t verify_ranks(const Options& options);

/// Prints "ranks=4 threads=1", what the deck of a command line asks for: `moray launch-info COMMAND
/// ...` is how the launcher learns it before it starts them. Throws Error(usage) for a command that
/// runs on one rank, and for a deck with errors.
int launch_info(const Command& command, const Options& options);

/// The subcommands with their options, bound to `options`: the one list of what the program can do.
std::vector<Command> command_table(Options& options);

}  // namespace moray
