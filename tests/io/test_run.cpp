#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <thread>

#include "catch.hpp"
#include "core/error.hpp"
#include "io/files.hpp"
#include "io/run_folder.hpp"
#include "io/run_lock.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::io);
    return error.what();
  }
  return "";
}

void make_older(const std::string& path, long seconds) {
  std::timespec times[2] = {};
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[0].tv_sec -= seconds;
  times[1] = times[0];
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("a live lock is an error that names its owner", "[lock]") {
  TemporaryFolder run;
  {
    RunLock lock(run.path());
    CHECK(lock.owned());
    const std::string message = message_of([&] { RunLock second(run.path()); });
    CHECK(message.find("in use by process " + std::to_string(::getpid())) != std::string::npos);
    CHECK(message.find("/lock") != std::string::npos);
    CHECK(path_exists(run / "lock"));
  }
  CHECK_FALSE(path_exists(run / "lock"));
  CHECK_NOTHROW(RunLock(run.path()));
}

TEST_CASE("the lock of a killed process is taken over at once", "[lock]") {
  TemporaryFolder run;
  const pid_t child = ::fork();
  if (child == 0) {
    RunLock lock(run.path());
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  REQUIRE(path_exists(run / "lock"));
  RunLock lock(run.path());
  CHECK(lock.owned());
  CHECK_FALSE(message_of([&] { RunLock second(run.path()); }).empty());
}

TEST_CASE("a killed process that nobody has asked about yet is no owner", "[lock]") {
  TemporaryFolder run;
  const pid_t child = ::fork();
  if (child == 0) {
    RunLock lock(run.path());
    ::raise(SIGKILL);
  }
  siginfo_t ended = {};
  ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);  // it stays a zombie
  CHECK(ended.si_status == SIGKILL);
  CHECK(RunLock(run.path()).owned());
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("an owner that is ending is waited for, another one is not waited for long", "[lock]") {
  using namespace std::chrono_literals;
  TemporaryFolder run;
  auto owner = std::make_unique<RunLock>(run.path());
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(message_of([&] { RunLock second(run.path(), 300ms); }).empty());
  CHECK(std::chrono::steady_clock::now() - begin >= 300ms);
  std::thread ending([&] {
    std::this_thread::sleep_for(300ms);
    owner.reset();
  });
  CHECK(message_of([&] { RunLock second(run.path(), 60s); }).empty());
  CHECK(std::chrono::steady_clock::now() - begin < 30s);
  ending.join();
}

TEST_CASE("another host's lock is stale when its heartbeat stops", "[lock]") {
  TemporaryFolder run;
  std::ofstream(run / "lock") << "host elsewhere\nspace x\nprocess 1\nstarted 2\njob 77\ntoken 3\n";
  const std::string message = message_of([&] { RunLock second(run.path()); });
  CHECK(message.find("process 1 on elsewhere (job 77)") != std::string::npos);
  make_older(run / "lock", RunLock::kStale.count() + 5);
  CHECK_NOTHROW(RunLock(run.path()));
}

TEST_CASE("a process number that was given again is no owner", "[lock]") {
  TemporaryFolder run;
  {
    RunLock lock(run.path());
    std::string text = read_text(run / "lock", 4096);
    const auto at = text.find("started ");
    text[at + 8] = text[at + 8] == '9' ? '8' : '9';
    replace_text(run / "lock", text);
    RunLock second(run.path());
    CHECK(second.owned());
  }
}

TEST_CASE("a lock is touched while it is held, and a robbed owner notices", "[lock]") {
  using namespace std::chrono_literals;
  TemporaryFolder run;
  RunLock lock(run.path(), 0ms, 5ms);
  make_older(run / "lock", 1000);
  const auto is_fresh = [&] {
    struct stat status {};
    return ::stat((run / "lock").c_str(), &status) == 0 &&
           ::time(nullptr) - status.st_mtim.tv_sec < 500;
  };
  for (int i = 0; i < 2000 && !is_fresh(); ++i) std::this_thread::sleep_for(5ms);
  CHECK(is_fresh());
  CHECK_NOTHROW(lock.require_owned());
  replace_text(run / "lock", "host elsewhere\n");
  for (int i = 0; i < 2000 && lock.owned(); ++i) std::this_thread::sleep_for(5ms);
  CHECK_FALSE(message_of([&] { lock.require_owned(); }).empty());
}

TEST_CASE("of many jobs that find a stale lock one takes it", "[lock]") {
  TemporaryFolder run;
  std::ofstream(run / "lock") << "host elsewhere\n";
  make_older(run / "lock", RunLock::kStale.count() + 5);
  int results[2];
  REQUIRE(::pipe(results) == 0);
  constexpr int kJobs = 6;
  for (int i = 0; i < kJobs; ++i) {
    if (::fork() != 0) continue;
    char outcome = 'n';
    try {
      RunLock lock(run.path());
      outcome = 'y';
      if (::write(results[1], &outcome, 1) == 1) ::pause();  // keeps it until killed
    } catch (const Error&) {
      if (::write(results[1], &outcome, 1) == 1) ::_exit(0);
    }
    ::_exit(1);
  }
  int owners = 0;
  for (int i = 0; i < kJobs; ++i) {
    char outcome = 0;
    REQUIRE(::read(results[0], &outcome, 1) == 1);
    owners += outcome == 'y' ? 1 : 0;
  }
  CHECK(owners == 1);
  std::string text = read_text(run / "lock", 4096);
  text = text.substr(text.find("\nprocess ") + 9);
  ::kill(static_cast<pid_t>(std::stol(text)), SIGKILL);
  for (int i = 0; i < kJobs; ++i) ::wait(nullptr);
  ::close(results[0]);
  ::close(results[1]);
}

TEST_CASE("a run's folder keeps what it was started from", "[run]") {
  TemporaryFolder base;
  const RunFolder run = RunFolder::create(base / "a/run", "tiny");
  const std::string deck = "run: {name: tiny}\r\n\tnot even yaml\xff";
  run.record_start(deck, "resolved\n");
  CHECK(read_text(base / "a/run/deck.yaml", 1000) == deck);
  CHECK(read_text(base / "a/run/resolved.yaml", 1000) == "resolved\n");
  CHECK(read_text(base / "a/run/build.txt", 10000) == build_text());
  run.write_status("running step 3");
  run.write_status("done");
  CHECK(run.status() == "done");
  CHECK(read_text(base / "a/run/STATUS", 100) == "done\n");

  CHECK(message_of([&] { RunFolder::create(base / "a/run", "tiny"); }).find("--resume") !=
        std::string::npos);
  const RunFolder again = RunFolder::open(base / "a/run");
  again.record_start("other", "resolved");
  again.record_start("third", "resolved");
  CHECK(read_text(base / "a/run/deck.yaml", 1000) == deck);
  CHECK(read_text(base / "a/run/resume-0002/deck.yaml", 1000) == "third");
  CHECK_FALSE(message_of([&] { RunFolder::open(base / "a"); }).empty());
}

TEST_CASE("an empty folder is taken, an unwritable place is an error that names it", "[run]") {
  TemporaryFolder base;
  make_folder(base / "empty");
  CHECK_NOTHROW(RunFolder::create(base / "empty", "x"));
  std::ofstream(base / "file") << "x";
  const std::string message = message_of([&] { RunFolder::create(base / "file/run", "x"); });
  CHECK(message.find("file/run") != std::string::npos);
}

TEST_CASE("the environment is kept without credentials", "[run]") {
  ::setenv("SLURM_JWT", "hidden-1", 1);
  ::setenv("MORAY_API_KEY", "hidden-2", 1);
  ::setenv("UNRELATED", "hidden-3", 1);
  ::setenv("OMP_PLACES", "cores", 1);
  const std::string text = environment_text();
  CHECK(text.find("hidden") == std::string::npos);
  CHECK(text.find("OMP_PLACES=cores\n") != std::string::npos);
}
