#pragma once

#include <string>
#include <vector>

#include "planning/hardware.hpp"
#include "planning/plan.hpp"

namespace moray {

/// Keys that change no size of the model, and what the fullest rank takes with them.
struct Smaller {
  std::string keys;
  std::int64_t bytes;
};

/// Prints a plan for people; what a machine has room for unless `hardware` is null.
void print_plan(const Deck& deck, const Plan& plan, const Hardware* hardware,
                const std::vector<Smaller>& smaller);

/// "embedding, layers 0-3, layer 60, head".
std::string layers_text(const std::vector<ModelChunk>& chunks);
/// Whether the fullest rank fits the memory that the hardware file says.
bool fits(const Plan& plan, const Hardware& hardware);

}  // namespace moray
