#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moray {

/// Where the time of a process goes, by kernel: counts launches and the host's time in them, by
/// label, through the callbacks of Kokkos Tools. Only where a launch returns when its kernel has
/// ended (Serial, OpenMP), and not when a tool is loaded already: that one is left alone. Costs
/// two readings of a clock a launch, and no memory beyond a table made at the start. One lives at a
/// time; launches come from one thread.
class KernelTimes {
 public:
  KernelTimes();
  ~KernelTimes();
  KernelTimes(const KernelTimes&) = delete;
  KernelTimes& operator=(const KernelTimes&) = delete;

  struct Kernel {
    std::string name;  ///< the label: "moray::gemm::host_multiply"
    std::int64_t calls = 0;
    double seconds = 0;
  };
  /// So far, those that took longest first. Empty where nothing is counted.
  std::vector<Kernel> kernels() const;

 private:
  bool counting_ = false;
};

}  // namespace moray
