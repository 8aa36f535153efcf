#pragma once

/// The seam between Moray and Kokkos 3.4 to 5.x: whatever differs between versions is here and
/// nowhere else.

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <string>

#include "core/progress.hpp"

namespace moray {

using ExecSpace = Kokkos::DefaultExecutionSpace;
using HostExecSpace = Kokkos::DefaultHostExecutionSpace;
using MemSpace = ExecSpace::memory_space;

/// True when kernels run on the host, so that host micro-kernels may read their arguments.
inline constexpr bool kHostBackend =
    Kokkos::SpaceAccessibility<HostExecSpace, MemSpace>::accessible &&
    std::is_same_v<ExecSpace, HostExecSpace>;

/// Owning, labelled storage. Modules take memory from the Arena; tests and tools use these.
template <class T>
using View1 = Kokkos::View<T*, Kokkos::LayoutRight, MemSpace>;

/// True when `exec` is known to be at work. CUDA and HIP can be asked (and remember the answer as an
/// error, which is taken back); on the host a kernel has ended when its launch returns.
inline bool is_busy([[maybe_unused]] const ExecSpace& exec) {
#if defined(KOKKOS_ENABLE_CUDA)
  const bool busy = cudaStreamQuery(exec.cuda_stream()) == cudaErrorNotReady;
  if (busy) static_cast<void>(cudaGetLastError());
  return busy;
#elif defined(KOKKOS_ENABLE_HIP)
  const bool busy = hipStreamQuery(exec.hip_stream()) == hipErrorNotReady;
  if (busy) static_cast<void>(hipGetLastError());
  return busy;
#else
  return false;
#endif
}

/// Waits for `exec` and says why in the profile; communication moves meanwhile. Kokkos 3.4 has no
/// named fences; newer versions take a std::string, which is kept so that a fence allocates nothing.
inline void fence(const ExecSpace& exec, const char* reason) {
  while (is_busy(exec)) make_progress();
#if KOKKOS_VERSION >= 30500
  static thread_local std::string text;
  text = reason;
  exec.fence(text);
#else
  (void)reason;
  exec.fence();
#endif
}

/// Runs body(i) for i in [0, count) on `exec`. Labels are static strings, since a literal would
/// allocate at every launch; they read "moray::<area>::<what>". On the host communication moves every
/// few indices, elsewhere between launches and in fences (core/progress.hpp).
template <class Body>
void parallel_for(const std::string& label, const ExecSpace& exec, std::int64_t count,
                  const Body& body) {
  if (count == 0) return;
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  if constexpr (kHostBackend) {
    constexpr std::int64_t kMost = 16, kBlocksOfThread = 16;
    const std::int64_t wanted = kBlocksOfThread * static_cast<std::int64_t>(exec.concurrency());
    const std::int64_t block = std::clamp<std::int64_t>(count / wanted, 1, kMost);
    Kokkos::parallel_for(label, Policy(exec, 0, (count + block - 1) / block),
                         [=](const std::int64_t number) {
                           const std::int64_t end = std::min(count, (number + 1) * block);
                           for (std::int64_t i = number * block; i < end; ++i) body(i);
                           make_progress();
                         });
  } else {
    Kokkos::parallel_for(label, Policy(exec, 0, count), body);
    make_progress();
  }
}

/// The same with one index a chunk and dynamic scheduling: for tiles of unequal cost. On the host
/// communication moves after each.
template <class Body>
void parallel_tiles(const std::string& label, const ExecSpace& exec, std::int64_t count,
                    const Body& body) {
  if (count == 0) return;
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>,
                                     Kokkos::Schedule<Kokkos::Dynamic>>;
  const Policy policy(exec, 0, count, Kokkos::ChunkSize(1));
  if constexpr (kHostBackend) {
    Kokkos::parallel_for(label, policy, [=](const std::int64_t tile) {
      body(tile);
      make_progress();
    });
  } else {
    Kokkos::parallel_for(label, policy, body);
    make_progress();
  }
}

/// Copies `count` elements between host memory and the memory of the backend and waits. Where kernels
/// run on the host they have ended when their launch returns (Serial, OpenMP): there it is a plain
/// copy, which allocates nothing, while deep_copy builds labels for its fences.
template <class T>
void copy_to_device(const T* host, std::size_t count, T* device) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  if (count == 0) return;
  if constexpr (kHostBackend) {
    std::copy_n(host, count, device);
    return;
  }
  Kokkos::deep_copy(Kokkos::View<T*, MemSpace, Unmanaged>(device, count),
                    Kokkos::View<const T*, Kokkos::HostSpace, Unmanaged>(host, count));
}
template <class T>
void copy_to_host(const T* device, std::size_t count, T* host) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  if (count == 0) return;
  if constexpr (kHostBackend) {
    std::copy_n(device, count, host);
    return;
  }
  Kokkos::deep_copy(Kokkos::View<T*, Kokkos::HostSpace, Unmanaged>(host, count),
                    Kokkos::View<const T*, MemSpace, Unmanaged>(device, count));
}

/// A profiling region for the life of the object. `label` must outlive it.
class ScopedRegion {
 public:
  explicit ScopedRegion(const std::string& label) { Kokkos::Profiling::pushRegion(label); }
  ~ScopedRegion() { Kokkos::Profiling::popRegion(); }
  ScopedRegion(const ScopedRegion&) = delete;
  ScopedRegion& operator=(const ScopedRegion&) = delete;
};

}  // namespace moray
