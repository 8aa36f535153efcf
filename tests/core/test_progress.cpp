#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "core/kokkos.hpp"
#include "core/progress.hpp"

using namespace moray;

namespace {

thread_local int calls = 0;
void count_call() {
  ++calls;
}

/// Calls of the hook while `work` runs.
template <class Work>
int calls_during(const Work& work) {
  calls = 0;
  CHECK(set_progress_hook(count_call) == nullptr);
  work();
  CHECK(set_progress_hook(nullptr) == count_call);
  return calls;
}

}  // namespace

TEST_CASE("the hook belongs to the thread that set it", "[progress]") {
  make_progress();  // none: nothing
  const int own = calls_during([] {
    make_progress();
    int others = 0;
    std::thread([&] {
      make_progress();
      CHECK(set_progress_hook(count_call) == nullptr);
      make_progress();
      others = calls;
    }).join();
    CHECK(others == 1);
    make_progress();
  });
  CHECK(own == 2);
}

TEST_CASE("a launch runs each index once and makes progress on the way", "[progress]") {
  const ExecSpace exec;
  static const std::string label = "moray::test::progress";
  for (const std::int64_t count : {0, 1, 2, 15, 16, 17, 255, 256, 257, 1000, 12345}) {
    View1<int> visits("test::visits", static_cast<std::size_t>(count + 1));
    int* visit = visits.data();
    const int in_rows = calls_during([&] {
      parallel_for(
          label, exec, count, KOKKOS_LAMBDA(std::int64_t i) { visit[i] += 1; });
    });
    const int in_tiles = calls_during([&] {
      parallel_tiles(
          label, exec, count, KOKKOS_LAMBDA(std::int64_t i) { visit[i] += 10; });
    });
    fence(exec, "test: visited");
    std::vector<int> result(static_cast<std::size_t>(count + 1));
    copy_to_host(visit, result.size(), result.data());
    for (std::int64_t i = 0; i < count; ++i) REQUIRE(result[static_cast<std::size_t>(i)] == 11);
    CHECK(result[static_cast<std::size_t>(count)] == 0);
    // One thread runs all of it, or this one its share of a fixed division.
    if (kHostBackend) CHECK(in_rows >= count / (16 * exec.concurrency()));
    if (kHostBackend && exec.concurrency() == 1) CHECK(in_tiles == count);
  }
}
