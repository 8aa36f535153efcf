#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace moray {

/// Why a run saves or ends before its length.
enum class StopReason : std::int64_t { none = 0, save = 1, signal = 2, time_limit = 3 };

/// Listens for SIGUSR1, SIGTERM and SIGINT (save and stop; a second SIGINT ends at once), SIGUSR2
/// (save and go on), for the time limit, and for a file CHECKPOINT_NOW in the run's folder.
/// Handlers only set flags; ranks agree once a step.
class StopWatch {
 public:
  /// `limit_seconds` 0: none. `run` is the run's folder, read by rank 0 only (empty elsewhere).
  StopWatch(std::int64_t limit_seconds, std::string run);

  /// This rank's view after a step. The limit counts as reached when less than two saves and three
  /// steps would fit.
  StopReason poll(double step_seconds, double save_seconds);
  double elapsed() const;

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::int64_t limit_seconds_;
  std::string run_;
};

}  // namespace moray
