#pragma once

#include <string>

namespace moray {

/// Sets the calling thread's floating-point state to what docs/numerics.md section 1 asks for: round
/// to nearest even, denormals neither flushed (FTZ) nor read as zero (DAZ). Every thread has its own
/// state, and loading a library built with -Ofast changes it.
void set_exact_float_state();

/// What is wrong with the calling thread's state, in words; empty when nothing is.
std::string float_state_problem();

}  // namespace moray
