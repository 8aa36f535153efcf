// What a save and a read do when processes die, disks fill and bytes change.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "catch.hpp"
#include "core/error.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/crash_point.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

constexpr int kRanks = 2;

/// Runs `work` in a process of its own; returns true if it was killed.
bool killed(const std::function<void()>& work, const std::function<void(pid_t)>& meanwhile = {}) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  if (meanwhile) meanwhile(child);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSIGNALED(status)) CHECK(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

/// The newest checkpoint that all ranks find and verify; -1: none, -2: wrong values or an error.
std::int64_t newest_step(const std::string& folder) {
  std::atomic<std::int64_t> step = -1;
  const auto errors = run_ranks(kRanks, [&](Collective& ranks) {
    const auto checkpoint = open_newest(ranks, folder);
    if (!checkpoint) return;
    step = checkpoint->step();
    if (!equals_sample(*checkpoint)) throw std::runtime_error("wrong values");
  });
  for (const std::string& error : errors) {
    if (!error.empty()) return -2;
  }
  return step;
}

/// Step 1 is there; the save of step 2 was interrupted. Nothing may be lost or half accepted, and
/// the next start of the run must be able to go on.
void check_after_interruption(const std::string& folder) {
  const bool renamed = path_exists(folder + "/step_00000002");
  CHECK(newest_step(folder) == (renamed ? 2 : 1));
  CHECK(path_exists(folder + "/step_00000001"));
  remove_leftovers(folder);
  CHECK(list_folder(folder).size() == (renamed ? 2u : 1u));
  if (!renamed) {
    for (const std::string& error : save_sample(folder, 2, kRanks)) CHECK(error.empty());
  }
  CHECK(newest_step(folder) == 2);
}

/// What the failing write reports, and which one fails.
std::atomic<int> failing_call, failing_errno, calls_seen;

/// A broken disk fails one call; a full one fails from that call on.
bool fails(int call) {
  if (failing_errno == ENOSPC ? call < failing_call : call != failing_call) return false;
  errno = failing_errno;
  return true;
}

void install_faults() {
  file_calls().pwrite = [](int descriptor, const void* data, std::size_t size, off_t at) {
    const int call = ++calls_seen;
    // A disk that fills up takes a part first.
    if (failing_errno == ENOSPC && call == failing_call && size > 1)
      return ::pwrite(descriptor, data, size / 2, at);
    return fails(call) ? ssize_t{-1} : ::pwrite(descriptor, data, size, at);
  };
  file_calls().fsync = [](int descriptor) {
    return fails(++calls_seen) ? -1 : ::fsync(descriptor);
  };
}

}  // namespace

TEST_CASE("killed at every named point of a save, nothing is lost", "[checkpoint][kill]") {
  const Writing writing = GENERATE(Writing::in_front, Writing::behind);
  bool deleting = false;
  for (const std::string_view point : kCheckpointCrashPoints) {
    INFO(point);
    deleting = deleting || point == "trash_renamed";
    if (deleting) break;
    TemporaryFolder folder;
    REQUIRE(save_sample(folder.path(), 1)[0].empty());
    CHECK(killed([&] {
      ::setenv("MORAY_CHECKPOINT_DIE_AT", std::string(point).c_str(), 1);
      save_sample(folder.path(), 2, kRanks, writing);
    }));
    check_after_interruption(folder.path());
  }
  CHECK(deleting);
}

TEST_CASE("killed at every named point of a deletion, the kept ones are whole",
          "[checkpoint][kill]") {
  int points = 0;
  for (const std::string_view point : kCheckpointCrashPoints) {
    if (!point.starts_with("trash")) continue;
    ++points;
    INFO(point);
    TemporaryFolder folder;
    for (std::int64_t step : {1, 2, 3}) REQUIRE(save_sample(folder.path(), step)[0].empty());
    CHECK(killed([&] {
      ::setenv("MORAY_CHECKPOINT_DIE_AT", std::string(point).c_str(), 1);
      apply_retention(folder.path(), {2, 0}, 3);
    }));
    CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{2, 3});
    CHECK(newest_step(folder.path()) == 3);
    remove_leftovers(folder.path());
    CHECK(list_folder(folder.path()).size() == 2);
  }
  CHECK(points == 4);
}

static void kill_at_random(int times) {
  std::mt19937 random(12345);
  // How long an undisturbed save takes here.
  TemporaryFolder timing;
  const auto start = std::chrono::steady_clock::now();
  killed([&] { save_sample(timing.path(), 1, kRanks); });
  const auto span = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  int in_time = 0;
  int tries = 0;
  for (; in_time < times; ++tries) {  // a save that ended before the kill does not count
    REQUIRE(tries < 20 * times);
    TemporaryFolder folder;
    REQUIRE(save_sample(folder.path(), 1)[0].empty());
    const std::chrono::microseconds wait(random() % (span.count() + 1));
    const Writing writing = tries % 2 == 0 ? Writing::in_front : Writing::behind;
    in_time += killed([&] { save_sample(folder.path(), 2, kRanks, writing); },
                      [&](pid_t child) {
                        std::this_thread::sleep_for(wait);
                        ::kill(child, SIGKILL);
                      });
    check_after_interruption(folder.path());
  }
  INFO(in_time << " of " << tries << " saves were killed before their end");
  CHECK(in_time == times);
}

TEST_CASE("killed at 20 random moments, nothing is lost", "[checkpoint][kill]") {
  kill_at_random(20);
}
TEST_CASE("killed at 100 random moments, nothing is lost", "[checkpoint][kill][long]") {
  kill_at_random(100);
}

TEST_CASE("a full or broken disk at each write and fsync: an error on every rank, nothing lost",
          "[checkpoint][full]") {
  const FileCalls saved = file_calls();
  const Writing writing = GENERATE(Writing::in_front, Writing::behind);
  for (const int error : {ENOSPC, EIO}) {
    bool failed = true;
    for (int call = 1; failed; ++call) {
      TemporaryFolder folder;
      REQUIRE(save_sample(folder.path(), 1)[0].empty());
      calls_seen = 0;
      failing_call = call;
      failing_errno = error;
      install_faults();
      const auto errors = save_sample(folder.path(), 2, kRanks, writing);
      file_calls() = saved;
      failed = !errors[0].empty();
      INFO("call " << call << ": " << errors[0]);
      for (const std::string& message : errors) CHECK(message == errors[0]);
      if (failed) CHECK(errors[0].find(std::strerror(error)) != std::string::npos);
      CHECK_FALSE(path_exists(folder / "step_00000002.tmp-test"));
      CHECK(newest_step(folder.path()) == (path_exists(folder / "step_00000002") ? 2 : 1));
      if (!failed) CHECK(call > 10);  // the save has more calls than that
    }
  }
}

TEST_CASE("a limit that HDF5 itself runs into: an error, no crash, nothing lost",
          "[checkpoint][full]") {
  // A file may grow to so many bytes: the layout fails within HDF5, or later a pwrite of ours.
  for (const rlim_t bytes : {0, 100, 800, 1500, 2048, 3000, 4096, 100000, 700000, 860000}) {
    INFO(bytes << " bytes");
    TemporaryFolder folder;
    REQUIRE(save_sample(folder.path(), 1)[0].empty());
    int pipe_ends[2];
    REQUIRE(::pipe(pipe_ends) == 0);
    CHECK_FALSE(killed([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{bytes, bytes};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
      const auto errors = save_sample(folder.path(), 2, kRanks);
      const bool told = !errors[0].empty() && errors[0] == errors[1];
      if (::write(pipe_ends[1], told ? "e" : "-", 1) != 1) ::_exit(3);
    }));
    char told = 0;
    CHECK(::read(pipe_ends[0], &told, 1) == 1);
    CHECK(told == 'e');
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
    CHECK(list_folder(folder.path()) == std::vector<std::string>{"step_00000001"});
    CHECK(newest_step(folder.path()) == 1);
  }
}

TEST_CASE("too little space is found before anything is written", "[checkpoint][full]") {
  TemporaryFolder folder;
  Sample sample(1);
  sample.content.datasets[0].shape = {std::int64_t{1} << 30, std::int64_t{1} << 26};
  SerialCollective alone;
  CheckpointWriter writer(alone, folder.path(), "test");
  try {
    writer.begin(sample.content);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("free some space") != std::string::npos);
  }
  CHECK(list_folder(folder.path()).empty());
}

static void damage(int times) {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 1)[0].empty());
  const std::string path = folder / "step_00000001";
  const std::array files = {kTensorFile, kBlockFile, kManifestFile};
  std::mt19937 random(99);
  int refused = 0;
  for (int i = 0; i < times; ++i) {
    // Half of the damage to the tensor file, the rest to the two small ones.
    const std::string file = path + "/" + files[std::max<std::size_t>(random() % 4, 1) - 1];
    const std::string whole = read_text(file, 1 << 26);
    std::string bytes = whole;
    const std::size_t at = random() % bytes.size();
    const int kind = static_cast<int>(random() % 4);
    if (kind == 0) bytes.resize(at);
    if (kind == 1) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    if (kind == 2) bytes[at] = static_cast<char>(bytes[at] + 1 + static_cast<int>(random() % 255));
    if (kind == 3) bytes.insert(at, 1, 'x');
    std::ofstream(file, std::ios::binary) << bytes;
    INFO("kind " << kind << " at byte " << at << " of " << file);
    SerialCollective alone;
    try {
      open_verified(alone, path);
      FAIL_CHECK("accepted");
    } catch (const Error&) {
      ++refused;
    }
    // Without the check of all blocks in front, a value that is read is still the right one.
    try {
      const Checkpoint checkpoint(path);
      CHECK(kind != 0);
      equals_sample(checkpoint);
      FAIL_CHECK("all values were read");
    } catch (const DamagedCheckpoint&) {
    } catch (const Error& error) {
      FAIL_CHECK(error.what());
    }
    std::ofstream(file, std::ios::binary) << whole;
  }
  CHECK(refused == times);
  CHECK(newest_step(folder.path()) == 1);
}

TEST_CASE("100 random changes and truncations: none is accepted", "[checkpoint][damage]") {
  damage(100);
}
TEST_CASE("1000 random changes and truncations: none is accepted", "[checkpoint][damage][long]") {
  damage(1000);
}

TEST_CASE("files that are missing, links or folders are damage", "[checkpoint][damage]") {
  for (const char* name : {kTensorFile, kBlockFile, kManifestFile}) {
    TemporaryFolder folder;
    REQUIRE(save_sample(folder.path(), 1)[0].empty());
    REQUIRE(save_sample(folder.path(), 2)[0].empty());
    remove_tree(folder / "step_00000002/" + name);
    CHECK(newest_step(folder.path()) == 1);
  }
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 1)[0].empty());
  rename_path(folder / "step_00000001/checkpoint.h5", folder / "elsewhere.h5");
  REQUIRE(::symlink((folder / "elsewhere.h5").c_str(),
                    (folder / "step_00000001/checkpoint.h5").c_str()) == 0);
  CHECK_THROWS_AS(Checkpoint(folder / "step_00000001"), Error);
  TemporaryFolder empty;
  CHECK(newest_step(empty.path()) == -1);
  CHECK(newest_step(empty / "nowhere") == -1);
}
