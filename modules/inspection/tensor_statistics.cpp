#include "inspection/tensor_statistics.hpp"

#include <algorithm>
#include <cmath>

#include "core/exact_sum.hpp"
#include "inspection/tensor_values.hpp"

namespace moray {

TensorStatistics tensor_statistics(const Checkpoint& checkpoint, const DatasetSpec& spec) {
  const BlockGrid grid(spec);
  TensorStatistics s;
  s.elements = grid.elements();
  s.min = HUGE_VAL;
  s.max = -HUGE_VAL;
  ExactSum squares;
  std::vector<char> block;
  for (std::int64_t b = 0; b < grid.blocks(); ++b) {
    const std::int64_t count = grid.count(b);
    block.resize(static_cast<std::size_t>(count * bytes_of(spec.dtype)));
    checkpoint.read(spec.name, grid.begin(b), count, block.data());
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = value_of(spec.dtype, block.data(), i);
      if (grid.begin(b) + i < TensorStatistics::kFirst) s.first.push_back(value);
      if (!std::isfinite(value)) {
        ++s.not_finite;
        continue;
      }
      s.min = std::min(s.min, value);
      s.max = std::max(s.max, value);
      sum += value * value;
    }
    squares.add(sum);
  }
  if (s.not_finite == s.elements) s.min = s.max = 0;
  s.norm = std::sqrt(squares.value());
  return s;
}

}  // namespace moray
