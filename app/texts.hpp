#pragma once

#include <string>
#include <vector>

#include "options.hpp"

namespace moray {

/// The bytes of a file, or of standard input for "-". Throws Error(io) if it cannot be read.
std::string read_bytes(const std::string& path);

/// What `moray generate` is to continue: each --prompt, or the whole of --prompt-file, or each line
/// of --prompts, or the whole of standard input. Throws Error(usage) when there is none, one is empty,
/// or they come from two places.
std::vector<std::string> read_prompts(const Options& options);

}  // namespace moray
