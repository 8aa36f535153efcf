#include "inspection/tensor_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/bf16.hpp"
#include "core/exact_sum.hpp"

namespace moray {
namespace {

template <class T>
T load(const char* data, std::int64_t i) {
  T value;
  std::memcpy(&value, data + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

double value_of(Dtype dtype, const char* data, std::int64_t i) {
  switch (dtype) {
    case Dtype::float32:
      return static_cast<double>(load<float>(data, i));
    case Dtype::float64:
      return load<double>(data, i);
    case Dtype::bfloat16:
      return static_cast<double>(bf16_decode(load<std::uint16_t>(data, i)));
    case Dtype::uint8:
      return static_cast<double>(load<std::uint8_t>(data, i));
    case Dtype::int64:
      return static_cast<double>(load<std::int64_t>(data, i));
  }
  return 0;
}

}  // namespace

TensorStatistics tensor_statistics(const Checkpoint& checkpoint, const DatasetSpec& spec) {
  const BlockGrid grid(spec);
  TensorStatistics s;
  s.elements = grid.elements();
  s.min = HUGE_VAL;
  s.max = -HUGE_VAL;
  ExactSum squares;
  std::vector<char> block;
  for (std::int64_t b = 0; b < grid.blocks(); ++b) {
    const std::int64_t count = grid.begin(b + 1) - grid.begin(b);
    block.resize(static_cast<std::size_t>(count * bytes_of(spec.dtype)));
    checkpoint.read(spec.name, grid.begin(b), count, block.data());
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = value_of(spec.dtype, block.data(), i);
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
