#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace moray {

/// Tokens from a key instead of files (`data.synthetic: keyed`), for runs whose bits are committed:
/// token i of sample g is a function of (name, seed, vocabulary, g, i) and of the tokens before it in
/// the sample. Half of the tokens follow from the one before up to one bit, a quarter repeats the
/// eighth before, a quarter is new and skewed to small numbers: enough to learn.
/// Bits: docs/numerics/data.md, section 5.
class SyntheticText {
 public:
  /// Samples of validation.
  static constexpr std::uint64_t kValidationWindows = 64;

  /// 2 <= vocabulary <= 2^31; `name` tells training and validation apart.
  SyntheticText(std::string_view name, std::uint64_t seed, std::int64_t vocabulary);
  /// g < 2^40, at most 2^24 tokens.
  void read(std::uint64_t g, std::span<std::int32_t> tokens) const;

 private:
  std::uint64_t key_, vocabulary_;
};

}  // namespace moray
