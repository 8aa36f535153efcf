#include "core/kernel_times.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <string_view>

#include "core/kokkos.hpp"

namespace moray {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSlots = 512;   // a power of two; the program has about a hundred labels
constexpr std::size_t kLongest = 63;  // of a label that is kept

/// A kernel by the text of its label, which Kokkos may build anew for its own kernels.
struct Slot {
  std::array<char, kLongest + 1> label = {};
  std::int64_t calls = 0;
  Clock::duration time{};
};

struct Counter {
  std::array<Slot, kSlots> slots = {};
  std::size_t now = kSlots;  ///< the slot of the kernel that runs; kSlots: none
  Clock::time_point begin;
};
Counter counter;

std::size_t slot_of(std::string_view label) {
  label = label.substr(0, kLongest);
  std::size_t at = std::hash<std::string_view>()(label) % kSlots;
  for (std::size_t tried = 0; tried < kSlots; ++tried, at = (at + 1) % kSlots) {
    Slot& slot = counter.slots[at];
    if (label == slot.label.data()) return at;
    if (slot.label[0] != '\0') continue;
    std::copy(label.begin(), label.end(), slot.label.begin());
    return at;
  }
  return kSlots;  // a full table counts no further kernels
}

void begin_kernel(const char* label, const std::uint32_t, std::uint64_t*) {
  counter.now = slot_of(label);
  counter.begin = Clock::now();
}

void end_kernel(const std::uint64_t) {
  if (counter.now == kSlots) return;
  Slot& slot = counter.slots[counter.now];
  slot.time += Clock::now() - counter.begin;
  ++slot.calls;
  counter.now = kSlots;
}

}  // namespace

KernelTimes::KernelTimes() {
  if (!kHostBackend || Kokkos::Tools::profileLibraryLoaded()) return;
  counter = Counter();
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(begin_kernel);
  Kokkos::Tools::Experimental::set_end_parallel_for_callback(end_kernel);
  counting_ = true;
}

KernelTimes::~KernelTimes() {
  if (!counting_) return;
  Kokkos::Tools::Experimental::set_begin_parallel_for_callback(nullptr);
  Kokkos::Tools::Experimental::set_end_parallel_for_callback(nullptr);
}

std::vector<KernelTimes::Kernel> KernelTimes::kernels() const {
  std::vector<Kernel> result;
  for (const Slot& slot : counter.slots) {
    if (!counting_ || slot.calls == 0) continue;
    result.push_back(
        {slot.label.data(), slot.calls, std::chrono::duration<double>(slot.time).count()});
  }
  std::sort(result.begin(), result.end(), [](const Kernel& a, const Kernel& b) {
    return a.seconds != b.seconds ? a.seconds > b.seconds : a.name < b.name;
  });
  return result;
}

}  // namespace moray
