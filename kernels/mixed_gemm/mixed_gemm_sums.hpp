#pragma once

#include <span>
#include <vector>

#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"

namespace moray {

/// The parts that the sum of each task of a launch is cut into. Keeps its memory from launch to launch.
class MixedSums {
 public:
  explicit MixedSums();
  /// Cuts the sums of all tasks; the parts stay until the next call.
  void cut(std::span<const MixedGemmTask> tasks);
  std::span<const MixedPart> parts(std::size_t task) const;

 private:
  struct Range {
    std::size_t begin;
    std::size_t count;
  };
  void reserve(std::span<const MixedGemmTask> tasks);
  void add(const MixedGemmTask& task);

  std::vector<RowBlock> blocks_;
  std::vector<MixedPart> parts_;
  std::vector<Range> ranges_;
};

/// Floats of a packed column over these parts.
inline std::int64_t total_depth(std::span<const MixedPart> parts) {
  std::int64_t depth = 0;
  for (const MixedPart& part : parts) depth += part.depth;
  return depth;
}

}  // namespace moray
