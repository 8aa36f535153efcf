#include <chrono>

#include "catch.hpp"
#include "core/kernel_times.hpp"
#include "core/kokkos.hpp"

using namespace moray;

namespace {

/// A kernel that takes a millisecond at least.
void slow_kernel(const ExecSpace& exec) {
  static const std::string label = "moray::test::slow";
  parallel_for(
      label, exec, 1, KOKKOS_LAMBDA(std::int64_t) {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point end = Clock::now() + std::chrono::milliseconds(1);
        while (Clock::now() < end) {
        }
      });
}

void quick_kernel(const ExecSpace& exec, const std::string& label) {
  parallel_for(label, exec, 1, KOKKOS_LAMBDA(std::int64_t){});
}

}  // namespace

TEST_CASE("kernels are counted by label, the longest first", "[timers]") {
  if (!kHostBackend) return;
  const ExecSpace exec;
  {
    const KernelTimes times;
    CHECK(times.kernels().empty());
    for (int i = 0; i < 3; ++i) slow_kernel(exec);
    // The same text at two places is one kernel; a very long one is cut.
    for (int i = 0; i < 5; ++i) quick_kernel(exec, std::string("moray::test::") + "quick");
    quick_kernel(exec, std::string(200, 'x'));
    const auto kernels = times.kernels();
    REQUIRE(kernels.size() == 3);
    CHECK(kernels[0].name == "moray::test::slow");
    CHECK(kernels[0].calls == 3);
    CHECK(kernels[0].seconds >= 0.003);
    CHECK(kernels[0].seconds < 3);
    const auto& quick = kernels[1].name[0] == 'x' ? kernels[2] : kernels[1];
    CHECK(quick.name == "moray::test::quick");
    CHECK(quick.calls == 5);
    // Another tool is loaded: it is left alone.
    const KernelTimes second;
    slow_kernel(exec);
    CHECK(second.kernels().empty());
    CHECK(times.kernels()[0].calls == 4);
  }
  slow_kernel(exec);
  const KernelTimes later;
  CHECK(later.kernels().empty());
}

TEST_CASE("more labels than the table has do no harm", "[timers]") {
  if (!kHostBackend) return;
  const ExecSpace exec;
  const KernelTimes times;
  for (int i = 0; i < 2000; ++i) quick_kernel(exec, "moray::test::" + std::to_string(i));
  CHECK(times.kernels().size() == 512);
}
