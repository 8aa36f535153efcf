#include "kernels/mixed_gemm/mixed_gemm_sums.hpp"

namespace moray {
namespace {

/// Steps of a chain that are packed as one.
constexpr std::int64_t kChainSteps = 512;
/// Room at once: the experts of a layer, with the blocks of a width of 8192.
constexpr std::size_t kListed = 1024;

bool has_scales(const MixedGemmTask& t) {
  return t.a.scales != nullptr;
}
std::int64_t step_of(const MixedGemmTask& t) {
  return has_scales(t) ? kScaleBlock : kChainSteps;
}

}  // namespace

MixedSums::MixedSums() {
  blocks_.reserve(kListed);
  parts_.reserve(kListed);
  ranges_.reserve(kListed);
}

std::span<const MixedPart> MixedSums::parts(std::size_t task) const {
  return std::span(parts_).subspan(ranges_[task].begin, ranges_[task].count);
}

/// Parts point into the list of blocks, which therefore has its size before.
void MixedSums::reserve(std::span<const MixedGemmTask> tasks) {
  std::size_t blocks = 0, parts = 0;
  for (const MixedGemmTask& t : tasks) {
    const auto own = static_cast<std::size_t>(t.blocks.size);
    const auto regular = static_cast<std::size_t>((t.k + step_of(t) - 1) / step_of(t));
    blocks += t.blocks.data != nullptr ? 0 : regular;
    parts += 1 + (t.blocks.data != nullptr ? own : regular);
  }
  blocks_.clear();
  parts_.clear();
  ranges_.clear();
  blocks_.reserve(blocks);
  parts_.reserve(parts);
  ranges_.reserve(tasks.size());
}

void MixedSums::add(const MixedGemmTask& task) {
  const RowBlock* blocks = task.blocks.data;
  auto count = static_cast<long>(task.blocks.size);
  if (blocks == nullptr) {
    blocks = blocks_.data() + blocks_.size();
    count = 0;
    for (std::int64_t l = 0; l < task.k; l += step_of(task), ++count) {
      blocks_.push_back({static_cast<std::int32_t>(l),
                         static_cast<std::int32_t>(std::min(step_of(task), task.k - l))});
    }
  }
  const std::size_t begin = parts_.size();
  parts_.push_back({blocks, 0, 0, 0});
  for (long q = 0; q < count; ++q) {
    const long depth = blocks[q].count + (has_scales(task) ? 1 : 0);
    if (parts_.back().depth + depth > kMixedDepth) parts_.push_back({blocks + q, 0, q, 0});
    ++parts_.back().count;
    parts_.back().depth += depth;
  }
  ranges_.push_back({begin, parts_.size() - begin});
}

void MixedSums::cut(std::span<const MixedGemmTask> tasks) {
  reserve(tasks);
  for (const MixedGemmTask& task : tasks) add(task);
}

}  // namespace moray
