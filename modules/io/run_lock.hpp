#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace moray {

/// One job at a time owns a run's folder: the file `lock` in it, made with O_EXCL, names host,
/// process and job and is touched every few seconds by a thread of its own.
///
/// A lock whose process is gone from this host, or of another host whose heartbeat is older than
/// kStale, is taken over with a warning. A live one is an Error(io) that names its owner; whoever goes
/// on with a run gives it a while first, since the ranks of a killed job may still be ending.
class RunLock {
 public:
  static constexpr std::chrono::seconds kHeartbeat{15};
  static constexpr std::chrono::seconds kStale{180};
  static constexpr std::chrono::seconds kPatience{10};

  /// On rank 0. Waits up to `patience`, with a message, for a live owner to let go.
  explicit RunLock(const std::string& run, std::chrono::milliseconds patience = {},
                   std::chrono::milliseconds heartbeat = kHeartbeat);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  /// False once another job has taken the folder over (this one was stopped for too long): nothing
  /// must be written to it any more. Cheap; asked before each write to the run's folder.
  bool owned() const { return owned_; }
  /// Throws Error(io) unless owned().
  void require_owned() const;

 private:
  bool acquire(std::string& owner);
  void beat(std::chrono::milliseconds heartbeat);

  std::string path_;
  std::string text_;  // what this process wrote: tells its lock from any other
  std::atomic<bool> owned_ = true;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace moray
