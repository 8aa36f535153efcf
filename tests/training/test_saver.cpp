// Saves behind the steps: what is saved is the state of the step that was asked for, whatever the
// steps that follow do while it is written.
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "catch.hpp"
#include "core/log.hpp"
#include "core/no_space.hpp"
#include "io/metrics.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"
#include "training/run.hpp"
#include "training/saver.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

/// While closed, writes into the tensor file of a step wait, on the thread that makes them.
std::atomic<bool> gate_open{true};
std::atomic<int> write_error{0};
std::atomic<bool> slow_disk{false};

bool is_tensor_file(int descriptor) {
  const std::string path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", descriptor)).string();
  return path.ends_with(std::string("/") + kTensorFile);
}

ssize_t gated_pwrite(int descriptor, const void* data, std::size_t size, off_t at) {
  if (is_tensor_file(descriptor)) {
    while (!gate_open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (slow_disk) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (write_error != 0) {
      errno = write_error;
      return -1;
    }
  }
  return ::pwrite(descriptor, data, size, at);
}

/// The calls of files are these for its life.
class GatedFiles {
 public:
  GatedFiles() { file_calls().pwrite = gated_pwrite; }
  ~GatedFiles() {
    file_calls() = saved_;
    gate_open = true;
    write_error = 0;
    slow_disk = false;
  }

 private:
  FileCalls saved_ = file_calls();
};

/// The state of one of several ranks: half of a tensor each, and counts on rank 0.
struct State {
  explicit State(Collective& ranks)
      : values(kBlockElements), counts(ranks.rank() == 0 ? 4 : 0, std::int64_t{7}) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i) + static_cast<float>(ranks.rank()) * 0.5f;
    StateTensor weights;
    weights.spec = {"weights", Dtype::float32, {2 * kBlockElements}, "channel", 1, {}};
    weights.pieces = {{ranks.rank() * kBlockElements, kBlockElements, values.data()}};
    StateTensor loads;
    loads.spec = {"loads", Dtype::int64, {4}, "expert", 1, {}};
    loads.on_host = true;
    if (ranks.rank() == 0) loads.pieces = {{0, 4, counts.data()}};
    tensors = {weights, loads};
  }
  std::int64_t bytes() const {
    return static_cast<std::int64_t>(values.size() * sizeof(float) +
                                     counts.size() * sizeof(std::int64_t));
  }
  /// What the next steps do.
  void change() {
    for (float& value : values) value = -1;
    for (std::int64_t& count : counts) count = -1;
  }

  static constexpr std::int64_t kBlockElements = 65536;
  std::vector<float> values;
  std::vector<std::int64_t> counts;
  std::vector<StateTensor> tensors;
};

CheckpointConfig at_intervals() {
  CheckpointConfig config;
  config.every = {2};
  return config;
}

std::string digests(const std::string& checkpoint) {
  return read_text(checkpoint + "/" + kBlockFile, 1 << 20);
}

/// MPI from the first run of this process to its end.
void start_mpi() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) return;
  MPI_Init(nullptr, nullptr);
  std::atexit([] { MPI_Finalize(); });
}

}  // namespace

TEST_CASE("a save behind the steps holds the state of its step", "[saver]") {
  TemporaryFolder folder, reference;
  const GatedFiles files;
  for (const std::string& error : run_ranks(2, [&](Collective& ranks) {
         State state(ranks);
         Saver saver(ranks, at_intervals());
         std::vector<std::byte> snapshot(static_cast<std::size_t>(state.bytes()));
         saver.set_snapshot({snapshot.data(), state.bytes()});
         CheckpointContent content;
         content.step = 1;
         saver.save({reference.path(), "test"}, state.tensors, content);
         for (content.step = 1; content.step <= 2; ++content.step) {  // the buffer is used again
           ranks.all(true);
           gate_open = false;
           ranks.all(true);
           State fresh(ranks);
           saver.begin({folder.path(), "test"}, fresh.tensors, content);
           if (!saver.under_way() || saver.written()) throw std::runtime_error("did not wait");
           fresh.change();
           ranks.all(true);
           if (path_exists(folder / checkpoint_name(content.step)))
             throw std::runtime_error("there before it was written");
           ranks.all(true);
           gate_open = true;
           saver.commit();
           if (saver.under_way()) throw std::runtime_error("still under way");
         }
       }))
    CHECK(error.empty());
  for (const std::int64_t step : {1, 2})
    CHECK(digests(folder / checkpoint_name(step)) == digests(reference / checkpoint_name(1)));
}

TEST_CASE("what fails behind the steps is thrown by commit, on every rank", "[saver]") {
  for (const int error : {ENOSPC, EIO}) {
    TemporaryFolder folder;
    const GatedFiles files;
    write_error = error;
    std::atomic<int> no_space{0};
    const auto errors = run_ranks(2, [&](Collective& ranks) {
      State state(ranks);
      Saver saver(ranks, at_intervals());
      std::vector<std::byte> snapshot(static_cast<std::size_t>(state.bytes()));
      saver.set_snapshot({snapshot.data(), state.bytes()});
      CheckpointContent content;
      content.step = 1;
      saver.begin({folder.path(), "test"}, state.tensors, content);
      try {
        saver.commit();
      } catch (const NoSpace&) {
        ++no_space;
        throw;
      }
    });
    CHECK(errors[0].find(std::strerror(error)) != std::string::npos);
    CHECK(errors[1] == errors[0]);
    CHECK(no_space == (error == ENOSPC ? 2 : 0));
    CHECK(list_folder(folder.path()).empty());
  }
}

TEST_CASE("a save that is given up leaves nothing", "[saver]") {
  TemporaryFolder folder;
  SerialCollective alone;
  StateTensor weights;
  std::vector<float> values(10, 1.0f);
  weights.spec = {"weights", Dtype::float32, {10}, "channel", 1, {}};
  weights.pieces = {{0, 10, values.data()}};
  std::vector<std::byte> snapshot(40);
  {
    Saver saver(alone, at_intervals());
    saver.set_snapshot({snapshot.data(), 40});
    CheckpointContent content;
    content.step = 1;
    saver.begin({folder.path(), "test"}, {weights}, content);
  }
  CHECK(list_folder(folder.path()).empty());
}

TEST_CASE("a run goes on beside its saves; rows of later steps wait for the next segment",
          "[saver][trainer]") {
  start_mpi();
  TemporaryFolder folder;
  const GatedFiles files;
  const auto train_into = [&](const std::string& out, bool asynchronous) {
    TrainRequest request;
    request.deck_path = std::string(MORAY_INPUT_FOLDER) + "/tiny.yaml";
    request.reading = try_read_deck(request.deck_path,
                                    {"run.length=8", "checkpoint.every=2 steps",
                                     fmt::format("checkpoint.asynchronous={}", asynchronous)},
                                    1);
    request.out = out;
    const Communicator ranks = Communicator::world();
    CHECK(train(request, ranks) == ExitCode::done);
    Log::global().close();
  };
  train_into(folder / "waits", false);
  slow_disk = true;
  train_into(folder / "behind", true);
  const std::string log = read_text(folder / "behind/log.txt", 1 << 20);
  for (const int step : {2, 4, 6}) {
    const std::size_t saved = log.find(fmt::format("checkpoints/{} in", checkpoint_name(step)));
    REQUIRE(saved != std::string::npos);
    CHECK(log.find(fmt::format("{}/8 | loss", step + 1)) < saved);
  }
  for (const int step : {4, 6, 8}) {
    const std::string name = "/checkpoints/" + checkpoint_name(step);
    CHECK(digests(folder.path() + "/behind" + name) == digests(folder.path() + "/waits" + name));
  }
  for (const char* run : {"waits", "behind"}) {
    const std::vector<std::int64_t> numbers = metrics_files::segments(folder / run);
    REQUIRE(numbers.size() == 4);
    std::int64_t next = 1;
    for (const std::int64_t number : numbers) {
      const MetricTable table =
          metrics_files::read_segment(metrics_files::segment_path(folder / run, number));
      REQUIRE(table.rows == 2);
      CHECK(table.step(0) == next++);
      CHECK(table.step(1) == next++);
    }
  }
}
