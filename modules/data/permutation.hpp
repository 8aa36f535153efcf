#pragma once

#include <cstdint>

namespace moray {

/// A keyed permutation of 0..size-1 without a table: a Feistel network of eight rounds over the
/// smallest 2^(2h) >= size, whose round function is Philox, walked until it lands below `size`
/// (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Both directions cost fewer
/// than four walks on average. Bits: docs/numerics/data.md, section 3.
class Permutation {
 public:
  /// size >= 1. Each `round` (epoch, block) is another order; 8 round 2^h < 2^64.
  Permutation(std::uint64_t size, std::uint64_t key, std::uint64_t round);

  std::uint64_t forward(std::uint64_t index) const;
  std::uint64_t inverse(std::uint64_t value) const;

 private:
  std::uint64_t mix(int step, std::uint64_t half) const;

  std::uint64_t size_, key_, round_;
  int half_bits_;
};

}  // namespace moray
