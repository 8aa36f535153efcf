#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace moray {

/// A named scalar beside a tensor or a file.
using AttributeValue = std::variant<std::int64_t, double, std::string>;
struct Attribute {
  std::string name;
  AttributeValue value;

  bool operator==(const Attribute&) const = default;
};

}  // namespace moray
