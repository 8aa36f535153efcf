#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace moray {

/// Element types of files. bfloat16 is kept as its 16 bits; FP8 payloads are uint8 with a `dtype`
/// attribute that names their format and their scales beside them.
enum class Dtype { float32, float64, bfloat16, uint8, int64 };

constexpr std::int64_t bytes_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
    case Dtype::int64:
      return 8;
    case Dtype::float32:
      return 4;
    case Dtype::bfloat16:
      return 2;
    case Dtype::uint8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return "float32";
    case Dtype::float64:
      return "float64";
    case Dtype::bfloat16:
      return "bfloat16";
    case Dtype::uint8:
      return "uint8";
    case Dtype::int64:
      return "int64";
  }
  return "";
}

constexpr std::optional<Dtype> dtype_named(std::string_view name) {
  for (Dtype dtype :
       {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::uint8, Dtype::int64}) {
    if (name_of(dtype) == name) return dtype;
  }
  return std::nullopt;
}

}  // namespace moray
