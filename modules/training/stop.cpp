#include "training/stop.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace moray {
namespace {

std::atomic<int> g_stop{0};
std::atomic<int> g_save{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  if (signal == SIGUSR2) {
    g_save = 1;
    return;
  }
  if (signal == SIGINT && g_stop.exchange(1) != 0) _exit(130);
  g_stop = 1;
}

}  // namespace

StopWatch::StopWatch(std::int64_t limit_seconds, std::string run)
    : limit_seconds_(limit_seconds), run_(std::move(run)) {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
}

double StopWatch::elapsed() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

StopReason StopWatch::poll(double step_seconds, double save_seconds) {
  if (g_stop != 0) return StopReason::signal;
  if (limit_seconds_ > 0 &&
      static_cast<double>(limit_seconds_) - elapsed() < 2 * save_seconds + 3 * step_seconds) {
    return StopReason::time_limit;
  }
  if (g_save.exchange(0) != 0) return StopReason::save;
  if (!run_.empty() && ::unlink((run_ + "/CHECKPOINT_NOW").c_str()) == 0) return StopReason::save;
  return StopReason::none;
}

}  // namespace moray
