// A disk that is full during a save: the run goes on from memory, and saves when there is room.
#include <mpi.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "catch.hpp"
#include "core/log.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/files.hpp"
#include "io/metrics.hpp"
#include "tests/io/sample.hpp"
#include "training/run.hpp"

using namespace moray;
using moray::testing::TemporaryFolder;

namespace {

/// What is written while the step's checkpoint is made fails, with this error.
struct Fault {
  std::vector<std::int64_t> steps;
  int error = ENOSPC;
} fault;

ssize_t faulty_pwrite(int descriptor, const void* data, std::size_t size, off_t at) {
  const std::string path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", descriptor)).string();
  for (const std::int64_t step : fault.steps) {
    if (path.find(checkpoint_name(step) + ".tmp-") == std::string::npos) continue;
    errno = fault.error;
    return -1;
  }
  return ::pwrite(descriptor, data, size, at);
}

/// MPI from the first run of this process to its end.
void start_mpi() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) return;
  MPI_Init(nullptr, nullptr);
  std::atexit([] { MPI_Finalize(); });
}

/// Trains 8 steps with a save every other; returns the message of the error, empty if there was none.
std::string train_with(const Fault& with, const std::string& out, bool asynchronous,
                       const std::string& resume = "none") {
  start_mpi();
  TrainRequest request;
  request.deck_path = std::string(MORAY_INPUT_FOLDER) + "/tiny.yaml";
  request.reading =
      try_read_deck(request.deck_path,
                    {"run.length=8", "checkpoint.every=2 steps", "checkpoint.keep_last=1",
                     fmt::format("checkpoint.asynchronous={}", asynchronous)},
                    1);
  request.out = out;
  request.resume = resume;
  fault = with;
  const FileCalls saved = file_calls();
  file_calls().pwrite = faulty_pwrite;
  std::string message;
  try {
    const Communicator ranks = Communicator::world();
    const ExitCode code = train(request, ranks);
    CHECK(code == ExitCode::done);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::io);
    message = error.what();
  }
  file_calls() = saved;
  Log::global().close();
  return message;
}

std::string log_of(const std::string& run) {
  return read_text(run + "/log.txt", 1 << 20);
}
std::string state_of(const std::string& run, std::int64_t step) {
  return read_text(fmt::format("{}/checkpoints/{}/{}", run, checkpoint_name(step), kBlockFile),
                   1 << 20);
}

}  // namespace

TEST_CASE("a full disk during saves that are not the last ends no run", "[trainer][full]") {
  const bool asynchronous = GENERATE(false, true);
  TemporaryFolder folder;
  REQUIRE(train_with({}, folder / "straight", false).empty());
  REQUIRE(train_with({{4, 6}}, folder / "full", asynchronous).empty());
  // The checkpoint before stays until there is another, whatever keep_last says.
  const std::string log = log_of(folder / "full");
  for (const char* text : {"NO CHECKPOINT at step 4", "NO CHECKPOINT at step 6",
                           "No space left on device", "(needed: ", " bytes, free: ",
                           "training goes on", "the newest checkpoint is that of step 2"}) {
    INFO(text);
    CHECK(log.find(text) != std::string::npos);
  }
  CHECK(log.find("NO CHECKPOINT at step 2") == std::string::npos);
  CHECK(list_folder(folder / "full/checkpoints") == std::vector<std::string>{"step_00000008"});
  CHECK(state_of(folder / "full", 8) == state_of(folder / "straight", 8));
  CHECK(read_metrics(folder / "full").rows == 8);
  CHECK(read_text(folder / "full/STATUS", 100) == "done\n");
}

TEST_CASE("a full disk during the last save is an error, and a resume makes it good",
          "[trainer][full]") {
  const bool asynchronous = GENERATE(false, true);
  TemporaryFolder folder;
  REQUIRE(train_with({}, folder / "straight", false).empty());
  const std::string message = train_with({{6, 8}}, folder / "full", asynchronous);
  CHECK(message.find("No space left on device") != std::string::npos);
  CHECK(read_text(folder / "full/STATUS", 1000).starts_with("failed: "));
  CHECK(list_folder(folder / "full/checkpoints") == std::vector<std::string>{"step_00000004"});
  REQUIRE(train_with({}, folder / "full", asynchronous, "auto").empty());
  CHECK(state_of(folder / "full", 8) == state_of(folder / "straight", 8));
  CHECK(read_metrics(folder / "full").rows == 8);
}

TEST_CASE("a broken disk ends the run at once", "[trainer][full]") {
  const bool asynchronous = GENERATE(false, true);
  TemporaryFolder folder;
  CHECK_FALSE(train_with({{4}, EIO}, folder / "broken", asynchronous).empty());
  CHECK(list_folder(folder / "broken/checkpoints") == std::vector<std::string>{"step_00000002"});
}
