#pragma once

#include <cstring>

#include "core/bf16.hpp"
#include "io/dtype.hpp"

namespace moray {

/// Value `i` of a buffer with the bits of a file, widened without a change of value but for int64
/// beyond 2^53, which rounds.
inline double value_of(Dtype dtype, const char* data, std::int64_t i) {
  const auto load = [&]<class T>(T value) {
    std::memcpy(&value, data + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return value;
  };
  switch (dtype) {
    case Dtype::float32:
      return static_cast<double>(load(float{}));
    case Dtype::float64:
      return load(double{});
    case Dtype::bfloat16:
      return static_cast<double>(bf16_decode(load(std::uint16_t{})));
    case Dtype::uint8:
      return static_cast<double>(load(std::uint8_t{}));
    case Dtype::int64:
      return static_cast<double>(load(std::int64_t{}));
  }
  return 0;
}

}  // namespace moray
