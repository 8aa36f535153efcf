// Messages that move while their ranks compute, on however many ranks the test is started on. No case
// asserts a time: a rank computes until its messages are there, or gives up after far more work
// than they need.
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "comm/communicator.hpp"
#include "comm/message.hpp"
#include "comm/progress.hpp"
#include "comm/row_exchange.hpp"
#include "core/error.hpp"
#include "core/kokkos.hpp"
#include "kernels/gemm/gemm.hpp"
#include "mpi_world.hpp"

using namespace moray;
using moray::test::world;

namespace {

/// Large enough that no MPI sends it before the receiver has asked for it.
constexpr std::size_t kBytes = std::size_t{8} << 20;

/// A message to the next rank and one from the rank before.
struct Round {
  explicit Round(int number, std::size_t bytes = kBytes) : out(bytes), in(bytes), tag(number) {
    const int rank = world().rank(), size = world().size();
    from = (rank + size - 1) % size;
    for (std::size_t i = 0; i < bytes; ++i) out[i] = value(rank, tag, i);
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Irecv(in.data(), static_cast<int>(bytes), MPI_BYTE, from, tag, world().raw(), &request);
    receive.start(request);
    MPI_Isend(out.data(), static_cast<int>(bytes), MPI_BYTE, (rank + 1) % size, tag, world().raw(),
              &request);
    send.start(request);
  }
  static unsigned char value(int rank, int tag, std::size_t i) {
    return static_cast<unsigned char>(i * 31 + i / 1000 + static_cast<std::size_t>(rank * 7 + tag));
  }
  bool complete() const { return send.complete() && receive.complete(); }
  bool arrived() const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (in[i] != value(from, tag, i)) return false;
    }
    return true;
  }

  std::vector<unsigned char> out, in;
  int from = 0, tag;
  PendingRequest send, receive;
};

/// Some microseconds of work.
float work(float x) {
  for (int i = 0; i < 2000; ++i) x = x * 0.999f + 0.5f;
  return x;
}

/// One kernel that computes until `done` or for `most` tiles; true if it saw done. With several
/// threads only the one that owns MPI looks.
template <class Done>
bool compute_until(const Done& done, std::int64_t most) {
  static const std::string label = "moray::test::compute";
  const ExecSpace exec;
  const std::thread::id owner = std::this_thread::get_id();
  std::atomic<bool> seen{false};
  std::atomic<float> sum{0};
  parallel_tiles(label, exec, most, [&](std::int64_t tile) {
    if (seen) return;
    sum = work(static_cast<float>(tile));
    if (std::this_thread::get_id() == owner && done()) seen = true;
  });
  fence(exec, "test: computed");
  return seen;
}
constexpr std::int64_t kMost = 4'000'000;

}  // namespace

TEST_CASE("a large message moves within one kernel", "[progress]") {
  if (!kHostBackend) return;
  const Communicator& ranks = world();
  ranks.barrier();
  Round round(1);
  CHECK(round.send.in_flight());
  REQUIRE(compute_until([&] { return round.complete(); }, kMost));
  CHECK(round.arrived());  // before anyone waited
  CHECK(round.receive.in_flight());
  CHECK(round.receive.wait() == MPI_SUCCESS);
  CHECK(round.send.wait() == MPI_SUCCESS);
  CHECK(!round.receive.in_flight());
  CHECK(!round.receive.complete());
  CHECK(set_progress_hook(nullptr) == nullptr);  // nothing in flight: kernels run free
}

TEST_CASE("without help nothing is known to move", "[progress]") {
  if (!kHostBackend) return;
  const Communicator& ranks = world();
  ranks.barrier();
  const NoProgress none;
  Round round(2);
  reset_progress_counts();
  CHECK(!compute_until([&] { return round.complete(); }, 1000));
  CHECK(progress_counts().calls == 0);
  CHECK(round.receive.wait() == MPI_SUCCESS);
  CHECK(round.send.wait() == MPI_SUCCESS);
  CHECK(round.arrived());
}

TEST_CASE("several messages in flight, waited for in any order, in objects that move",
          "[progress]") {
  if (!kHostBackend) return;
  const Communicator& ranks = world();
  ranks.barrier();
  std::mt19937 random(7);  // the same choices on every rank
  for (int repetition = 0; repetition < 20; ++repetition) {
    std::vector<Round> rounds;  // its growth moves what it holds
    for (int i = 0; i < 5; ++i) {
      rounds.emplace_back(i, 1000 + random() % 300'000);
      compute_until([] { return false; }, 20);
    }
    std::swap(rounds[0], rounds[3]);
    const auto all = [&] {
      for (const Round& round : rounds) {
        if (!round.complete()) return false;
      }
      return true;
    };
    if (repetition % 2 == 0) REQUIRE(compute_until(all, kMost));
    while (!rounds.empty()) {
      const std::size_t which = random() % rounds.size();
      CHECK(rounds[which].receive.wait() == MPI_SUCCESS);
      CHECK(rounds[which].arrived());
      CHECK(rounds[which].send.wait() == MPI_SUCCESS);
      rounds.erase(rounds.begin() + static_cast<std::ptrdiff_t>(which));
    }
    CHECK(set_progress_hook(nullptr) == nullptr);
  }
}

TEST_CASE("a request that is replaced or destroyed is waited for", "[progress]") {
  const Communicator& ranks = world();
  ranks.barrier();
  Round first(1), second(2);
  first.receive = std::move(second.receive);
  CHECK(first.arrived());
  CHECK(first.receive.in_flight());
  CHECK(!second.receive.in_flight());
  CHECK(second.receive.wait() == MPI_SUCCESS);
  CHECK(!second.receive.complete());
  { const PendingRequest last = std::move(first.receive); }
  CHECK(second.arrived());
}

TEST_CASE("rows of tokens move under a product, whose bits stay", "[progress]") {
  if (!kHostBackend) return;
  const Communicator& ranks = world();
  constexpr std::int64_t kSide = 512, kRowBytes = 4096;
  const auto size = static_cast<std::size_t>(ranks.size());
  const std::vector<std::int64_t> rows(size, static_cast<std::int64_t>(kBytes) / kRowBytes);
  std::vector<unsigned char> out(size * kBytes), in(size * kBytes);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = Round::value(ranks.rank(), 0, i);

  View1<float> a("test::a", kSide * kSide), b("test::b", kSide * kSide),
      alone("test::alone", kSide * kSide), beside("test::beside", kSide * kSide);
  std::mt19937 random(3);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a(i) = static_cast<float>(random()) * 0x1p-32f - 0.5f;
    b(i) = static_cast<float>(random()) * 0x1p-32f - 0.5f;
  }
  const ExecSpace exec;
  const auto product = [&](const View1<float>& c) {
    gemm<float>(exec, GemmForm::nt, matrix<const float>(a.data(), kSide, kSide),
                matrix<const float>(b.data(), kSide, kSide), matrix(c.data(), kSide, kSide));
    fence(exec, "test: multiplied");
  };
  product(alone);

  ranks.barrier();
  RowExchange exchange;
  exchange.start(ranks, out.data(), rows, in.data(), rows, kRowBytes);
  int products = 0;
  while (!exchange.complete() && products < 5000) {
    product(beside);
    CHECK(std::memcmp(alone.data(), beside.data(), a.size() * sizeof(float)) == 0);
    ++products;
  }
  CHECK(exchange.complete());
  CHECK(exchange.in_flight());
  exchange.finish();
  CHECK(!exchange.in_flight());
  bool right = true;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t at = static_cast<std::size_t>(ranks.rank()) * kBytes + i % kBytes;
    right = right && in[i] == Round::value(static_cast<int>(i / kBytes), 0, at);
  }
  CHECK(right);
}

TEST_CASE("an error met in a kernel is reported by wait", "[progress]") {
  if (!kHostBackend) return;
  const Communicator& ranks = world();
  if (ranks.size() == 1) return;  // Open MPI reports nothing of what a rank sends itself
  ranks.barrier();
  const int rank = ranks.rank(), size = ranks.size();
  const char out[64] = {};
  char in[4] = {};  // too small
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Irecv(in, sizeof in, MPI_BYTE, (rank + size - 1) % size, 0, ranks.raw(), &request);
  PendingRequest receive(request);
  MPI_Isend(out, sizeof out, MPI_BYTE, (rank + 1) % size, 0, ranks.raw(), &request);
  PendingRequest send(request);
  REQUIRE(compute_until([&] { return receive.complete(); }, kMost));
  const int code = receive.wait();
  int kind = MPI_SUCCESS;
  MPI_Error_class(code, &kind);
  CHECK(kind == MPI_ERR_TRUNCATE);
  CHECK(receive.wait() == MPI_SUCCESS);  // told once
  ranks.barrier();
}

TEST_CASE("an error of a message names the call, what it was and the peer", "[progress]") {
  const Communicator& ranks = world();
  if (ranks.size() == 1) return;
  // A communicator whose ranks are numbered backwards: the peer is named by its number in the job.
  const Communicator backwards = ranks.split(0, -ranks.rank());
  const int peer = ranks.size() - 1 - (ranks.rank() ^ 1);
  const char out[64] = {};
  char in[4] = {};  // too small
  Message receive("half of the gradients"), send("half of the gradients");
  receive.receive(backwards, in, 1, sizeof in, peer, 0);
  send.send(backwards, out, 1, sizeof out, peer, 0);
  std::string text;
  try {
    receive.wait();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::communication);
    text = error.what();
  }
  const std::string begin = "MPI_Wait failed in half of the gradients with rank " +
                            std::to_string(ranks.rank() ^ 1) + " of all: ";
  CHECK(text.substr(0, begin.size()) == begin);
  send.wait();
  ranks.barrier();
}
