#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace moray {

/// What the process returns to the batch system (docs/design.md, section 6).
enum class ExitCode : int {
  done = 0,
  usage = 2,          ///< command line or deck
  io = 3,             ///< files
  communication = 4,  ///< MPI, NCCL
  numerics = 5,       ///< a value that is not finite, bits that differ
  device = 6,
  resubmit = 75,  ///< stopped cleanly with a checkpoint: submit the job again
};

/// An error with the code that the process ends with. The message is complete: it names the place
/// (file, line, tensor, rank) and what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// A broken promise inside the program (never the user's fault): throws with file and line.
[[noreturn]] void broken_invariant(const char* expression, const char* file, int line);

#define MORAY_REQUIRE(condition) \
  ((condition) ? static_cast<void>(0) : ::moray::broken_invariant(#condition, __FILE__, __LINE__))

}  // namespace moray
