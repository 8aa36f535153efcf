#include "io/run_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "core/error.hpp"
#include "core/log.hpp"
#include "io/files.hpp"

namespace moray {
namespace {

constexpr std::int64_t kLargestLock = 4096;
constexpr std::chrono::milliseconds kPoll{200};

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

/// When a process of this host began, in clock ticks since boot; empty if that cannot be read, "ended"
/// for one that only waits to be asked about by its parent. With it a process number that was given
/// to somebody else is told from the old one.
std::string process_start(long process) {
  try {
    // The file has no size that fstat would tell: read what comes.
    const File file(fmt::format("/proc/{}/stat", process), O_RDONLY);
    char text[2048];
    const ssize_t length = ::read(file.descriptor(), text, sizeof text);
    std::string_view rest(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    rest.remove_prefix(std::min(rest.rfind(')'), rest.size()));  // past the program's name
    for (int field = 2; field < 22; ++field) {
      const auto blank = rest.find(' ');
      if (blank == std::string_view::npos) return "";
      rest.remove_prefix(blank + 1);
      if (field == 2 && (rest.starts_with('Z') || rest.starts_with('X'))) return "ended";
    }
    return std::string(rest.substr(0, rest.find(' ')));
  } catch (const Error&) {
    return "";
  }
}

/// Process numbers mean something only within this: containers share host names.
std::string process_space() {
  char text[128] = {};
  const ssize_t length = ::readlink("/proc/self/ns/pid", text, sizeof text - 1);
  return length > 0 ? text : "none";
}

std::string own_text() {
  const char* job = std::getenv("SLURM_JOB_ID");
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fmt::format("host {}\nspace {}\nprocess {}\nstarted {}\njob {}\ntoken {}.{:09}\n",
                     host_name(), process_space(), ::getpid(), process_start(::getpid()),
                     job == nullptr ? "none" : job, now.tv_sec, now.tv_nsec);
}

/// The word after `key` in a lock's text.
std::string field(const std::string& text, const std::string& key) {
  const std::string framed = "\n" + text;
  const auto at = framed.find("\n" + key + " ");
  if (at == std::string::npos) return "";
  const auto begin = at + key.size() + 2;
  return framed.substr(begin, framed.find('\n', begin) - begin);
}

double age(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec - status.st_mtim.tv_sec);
}

bool is_stale(const std::string& text, const std::string& path) {
  const double seconds = age(path);
  if (field(text, "host") == host_name() && field(text, "space") == process_space()) {
    const std::string process = field(text, "process");
    long number = 0;
    std::from_chars(process.data(), process.data() + process.size(), number);
    if (number > 0) {
      if (::kill(static_cast<pid_t>(number), 0) != 0 && errno == ESRCH) return true;
      const std::string started = process_start(number);
      if (!started.empty()) return started != field(text, "started");
    }
  }
  return seconds > static_cast<double>(RunLock::kStale.count());
}

bool create(const std::string& path, const std::string& text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor < 0 && errno == EEXIST) return false;
  if (descriptor >= 0) ::close(descriptor);
  const File file(path, O_WRONLY);  // opens again, or fails with the reason
  file.write(text.data(), text.size(), 0);
  file.sync();
  return true;
}

}  // namespace

RunLock::RunLock(const std::string& run, std::chrono::milliseconds patience,
                 std::chrono::milliseconds heartbeat)
    : path_(run + "/lock"), text_(own_text()) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::string owner;
  for (bool first = true; !acquire(owner); first = false) {
    if (std::chrono::steady_clock::now() >= end)
      fail(ExitCode::io,
           "{}: the run is in use by {}, last heard {:.0f} s ago; wait for it, or remove the file "
           "if you know that it is gone",
           path_, owner, age(path_));
    if (first)
      Log::global().info("{}: the run is in use by {}; waiting up to {} s for it to end", path_,
                         owner, std::chrono::duration_cast<std::chrono::seconds>(patience).count());
    std::this_thread::sleep_for(kPoll);
  }
  thread_ = std::thread([this, heartbeat] { beat(heartbeat); });
}

/// Takes the lock if there is none or its owner is gone; else says whose it is.
bool RunLock::acquire(std::string& owner) {
  // Two jobs that find the same stale lock must not both take it: they queue at the folder. Where
  // the file system has no flock, the heartbeat tells the one that was robbed.
  const File folder(parent_of(path_), O_RDONLY | O_DIRECTORY);
  ::flock(folder.descriptor(), LOCK_EX);  // until the folder is closed
  if (create(path_, text_)) return true;
  std::string text;
  try {
    text = read_text(path_, kLargestLock);
  } catch (const Error&) {
    if (path_exists(path_)) throw;
    return create(path_, text_);  // its owner let go of it just now
  }
  owner = fmt::format("process {} on {} (job {})", field(text, "process"), field(text, "host"),
                      field(text, "job"));
  if (!is_stale(text, path_)) return false;
  Log::global().warn("{}: taken over from {}, which is gone", path_, owner);
  replace_text(path_, text_);
  return true;
}

void RunLock::beat(std::chrono::milliseconds heartbeat) {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, heartbeat, [this] { return stopping_; })) {
    try {
      if (read_text(path_, kLargestLock) == text_) {
        ::utimensat(AT_FDCWD, path_.c_str(), nullptr, 0);
      } else {
        owned_ = false;
      }
    } catch (const Error&) {
      // Gone or unreadable for now: somebody who takes it over leaves another text.
    }
  }
}

void RunLock::require_owned() const {
  if (!owned_)
    fail(ExitCode::io, "{}: another job has taken the run over; this one stops writing", path_);
}

RunLock::~RunLock() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
  try {
    if (read_text(path_, kLargestLock) == text_) ::unlink(path_.c_str());
  } catch (const Error&) {
    // It is not there any more: nothing to release.
  }
}

}  // namespace moray
