#include "io/checkpoint_format.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace moray {
namespace {

constexpr std::size_t kMostExtents = 4;
constexpr std::string_view kStepPrefix = "step_";

bool valid_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '/';
}

/// Components of letters, digits, '_', '-' and '.', none empty, "." or "..".
bool valid_name(std::string_view name) {
  if (name.empty() || name.size() > 500) return false;
  if (!std::all_of(name.begin(), name.end(), valid_character)) return false;
  const std::string framed = fmt::format("/{}/", name);
  return framed.find("//") == std::string::npos && framed.find("/./") == std::string::npos &&
         framed.find("/../") == std::string::npos;
}

}  // namespace

BlockGrid::BlockGrid(const DatasetSpec& spec) : parts_(spec.parts) {
  const std::int64_t elements = checked_elements(spec.shape, spec.dtype, spec.name);
  part_elements_ = elements / parts_;
  part_blocks_ = (part_elements_ + kDigestBlock - 1) / kDigestBlock;
}

std::int64_t checked_elements(const std::vector<std::int64_t>& shape, Dtype dtype,
                              const std::string& place) {
  std::int64_t elements = 1;
  for (std::int64_t extent : shape) {
    if (extent < 1 || __builtin_mul_overflow(elements, extent, &elements))
      fail(ExitCode::io, "{}: shape with an extent of {} is not possible", place, extent);
  }
  if (elements > std::numeric_limits<std::int64_t>::max() / bytes_of(dtype))
    fail(ExitCode::io, "{}: {} elements are more than a file can hold", place, elements);
  return elements;
}

void check_spec(const DatasetSpec& spec, const std::string& place) {
  if (!valid_name(spec.name))
    fail(ExitCode::io, "{}: '{}' is no dataset name (letters, digits, _ - . and /)", place,
         spec.name);
  const std::string where = fmt::format("{}:{}", place, spec.name);
  if (spec.shape.empty() || spec.shape.size() > kMostExtents)
    fail(ExitCode::io, "{}: has {} extents, not 1 to {}", where, spec.shape.size(), kMostExtents);
  checked_elements(spec.shape, spec.dtype, where);
  if (spec.parts < 1 || spec.shape[0] % spec.parts != 0)
    fail(ExitCode::io, "{}: {} parts do not divide the first extent {}", where, spec.parts,
         spec.shape[0]);
  const auto commas = std::count(spec.axes.begin(), spec.axes.end(), ',');
  if (static_cast<std::size_t>(commas) + 1 != spec.shape.size())
    fail(ExitCode::io, "{}: axes '{}' do not name {} extents", where, spec.axes, spec.shape.size());
}

std::string checkpoint_name(std::int64_t step) {
  return fmt::format("{}{:08}", kStepPrefix, step);
}

std::int64_t checkpoint_step(const std::string& name) {
  if (!name.starts_with(kStepPrefix)) return -1;
  std::int64_t step = -1;
  const char* end = name.data() + name.size();
  const auto [last, error] = std::from_chars(name.data() + kStepPrefix.size(), end, step);
  if (error != std::errc() || last != end || name != checkpoint_name(step)) return -1;
  return step;
}

}  // namespace moray
