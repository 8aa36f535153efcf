#include "kernels/functions/float_state.hpp"

#include <cfenv>
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace moray {
namespace {

#if defined(__x86_64__)
constexpr std::uint64_t kFlushResults = 1u << 15;
constexpr std::uint64_t kFlushArguments = 1u << 6;
constexpr std::uint64_t kRounding = 3u << 13;
std::uint64_t control() {
  return _mm_getcsr();
}
void set_control(std::uint64_t bits) {
  _mm_setcsr(static_cast<unsigned>(bits));
}
#elif defined(__aarch64__)
constexpr std::uint64_t kFlushResults = 1u << 24;        // FZ: arguments and results
constexpr std::uint64_t kFlushArguments = 1u | 1u << 1;  // FIZ and AH of Armv8.7
constexpr std::uint64_t kRounding = 3u << 22;
std::uint64_t control() {
  std::uint64_t bits;
  __asm__ volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
}
void set_control(std::uint64_t bits) {
  __asm__ volatile("msr fpcr, %0" : : "r"(bits));
}
#else
// No way to flush denormals is known here: the self check's digests would show it.
constexpr std::uint64_t kFlushResults = 0;
constexpr std::uint64_t kFlushArguments = 0;
constexpr std::uint64_t kRounding = 1;
std::uint64_t control() {
  return std::fegetround() == FE_TONEAREST ? 0 : kRounding;
}
void set_control(std::uint64_t) {}
#endif

}  // namespace

void set_exact_float_state() {
  std::fesetround(FE_TONEAREST);  // also of the x87 unit, which fegetround() reports
  set_control(control() & ~(kFlushResults | kFlushArguments | kRounding));
}

std::string float_state_problem() {
  const std::uint64_t bits = control();
  std::string problem;
  const auto add = [&](std::uint64_t mask, const char* words) {
    if ((bits & mask) == 0) return;
    problem += problem.empty() ? "" : ", ";
    problem += words;
  };
  add(kFlushResults, "denormal results are flushed to zero (FTZ)");
  add(kFlushArguments, "denormal arguments are read as zero (DAZ)");
  add(kRounding, "the rounding mode is not to nearest");
  return problem;
}

}  // namespace moray
