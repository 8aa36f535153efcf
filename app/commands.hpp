#pragma once

#include <vector>

#include "options.hpp"

namespace moray {

// One file each in this folder. They return the exit code and throw Error.
int check(const Options& options);
int help(const Options& options);
int info(const Options& options);

/// The subcommands with their options, bound to `options`: the one list of what the program can do.
std::vector<Command> command_table(Options& options);

}  // namespace moray
