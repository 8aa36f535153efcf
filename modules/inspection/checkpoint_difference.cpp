#include "inspection/checkpoint_difference.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/exact_sum.hpp"
#include "inspection/tensor_values.hpp"

namespace moray {
namespace {

/// Adds the elements of a block.
void compare_block(Dtype dtype, std::int64_t count, const char* a, const char* b,
                   TensorDifference& d, ExactSum& squares, ExactSum& squares_a) {
  const std::int64_t bytes = bytes_of(dtype);
  double sum = 0;
  double sum_a = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i * bytes);
    const bool differs = std::memcmp(a + at, b + at, static_cast<std::size_t>(bytes)) != 0;
    d.different += differs ? 1 : 0;
    const double left = value_of(dtype, a, i);
    const double difference = left - value_of(dtype, b, i);
    if (!std::isfinite(difference)) {
      d.not_finite += differs ? 1 : 0;
      continue;
    }
    d.max = std::max(d.max, std::abs(difference));
    sum += difference * difference;
    sum_a += left * left;
  }
  squares.add(sum);
  squares_a.add(sum_a);
}

TensorDifference compare_tensor(const Checkpoint& a, const Checkpoint& b, const DatasetSpec& spec) {
  TensorDifference d{.name = spec.name, .dtype = spec.dtype, .shape = spec.shape};
  const BlockGrid grid(spec);
  d.elements = grid.elements();
  ExactSum squares;
  ExactSum squares_a;
  std::vector<char> left;
  std::vector<char> right;
  for (std::int64_t block = 0; block < grid.blocks(); ++block) {
    const std::int64_t count = grid.count(block);
    left.resize(static_cast<std::size_t>(count * bytes_of(spec.dtype)));
    right.resize(left.size());
    a.read(spec.name, grid.begin(block), count, left.data());
    b.read(spec.name, grid.begin(block), count, right.data());
    compare_block(spec.dtype, count, left.data(), right.data(), d, squares, squares_a);
  }
  d.norm = std::sqrt(squares.value());
  d.norm_a = std::sqrt(squares_a.value());
  return d;
}

}  // namespace

bool CheckpointDifference::equal() const {
  return mismatches.empty() && only_a.empty() && only_b.empty() &&
         std::all_of(tensors.begin(), tensors.end(), [](const auto& d) { return d.equal(); });
}

CheckpointDifference compare_checkpoints(const Checkpoint& a, const Checkpoint& b,
                                         const std::function<bool(const std::string&)>& chosen) {
  CheckpointDifference result;
  for (const StoredDataset& stored : a.manifest().datasets) {
    const DatasetSpec& left = stored.spec;
    if (!chosen(left.name)) continue;
    if (!b.contains(left.name)) {
      result.only_a.push_back(left);
      continue;
    }
    const DatasetSpec& right = b.find(left.name).spec;
    if (left.shape != right.shape || left.dtype != right.dtype) {
      result.mismatches.push_back({left, right});
    } else {
      result.tensors.push_back(compare_tensor(a, b, left));
    }
  }
  for (const StoredDataset& stored : b.manifest().datasets) {
    if (chosen(stored.spec.name) && !a.contains(stored.spec.name))
      result.only_b.push_back(stored.spec);
  }
  return result;
}

}  // namespace moray
