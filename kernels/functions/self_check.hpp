#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kokkos.hpp"
#include "kernels/functions/float_state.hpp"

namespace moray {

/// One group of operations, with the XXH3 digest of its results here and the committed one.
struct ArithmeticGroup {
  std::string name;
  std::uint64_t digest = 0;
  std::uint64_t expected = 0;
};

/// fma, separate multiply and add, division, square root, denormals, every defined function in
/// float32 and float64, and the vectors of every instruction set that the processor runs, over a
/// few thousand fixed arguments, on the calling thread (docs/numerics.md section 1). Takes about a
/// millisecond and needs no Kokkos.
std::vector<ArithmeticGroup> check_arithmetic();

/// The digests of all groups in one word: the same on every processor, build and compiler that obeys
/// the definition. Printed by `moray info`.
std::uint64_t arithmetic_digest();

/// Throws Error(numerics) naming what is wrong with the calling thread's floating-point state, or
/// the groups whose bits differ from the committed ones. Call it at start, and after loading
/// libraries.
void require_exact_arithmetic();

/// The same for a backend: sets the state of each of its host threads, then runs the functions as
/// a kernel and a small product through gemm() (when its variant is an exact one), and compares.
void require_exact_arithmetic(const ExecSpace& exec);

}  // namespace moray
