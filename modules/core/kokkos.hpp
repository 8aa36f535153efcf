#pragma once

/// The seam between Moray and Kokkos 3.4 to 5.x: whatever differs between versions is here and
/// nowhere else.

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <string>

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

/// Waits for `exec` and says why in the profile. Kokkos 3.4 has no named fences; newer versions take
/// a std::string, which is kept so that a fence allocates nothing.
inline void fence(const ExecSpace& exec, const char* reason) {
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
/// allocate at every launch; they read "moray::<area>::<what>".
template <class Body>
void parallel_for(const std::string& label, const ExecSpace& exec, std::int64_t count,
                  const Body& body) {
  if (count == 0) return;
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>>;
  Kokkos::parallel_for(label, Policy(exec, 0, count), body);
}

/// The same with one index a chunk and dynamic scheduling: for tiles of unequal cost.
template <class Body>
void parallel_tiles(const std::string& label, const ExecSpace& exec, std::int64_t count,
                    const Body& body) {
  if (count == 0) return;
  using Policy = Kokkos::RangePolicy<ExecSpace, Kokkos::IndexType<std::int64_t>,
                                     Kokkos::Schedule<Kokkos::Dynamic>>;
  Kokkos::parallel_for(label, Policy(exec, 0, count, Kokkos::ChunkSize(1)), body);
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
