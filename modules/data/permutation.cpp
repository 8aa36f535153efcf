#include "data/permutation.hpp"

#include <algorithm>
#include <bit>

#include "core/error.hpp"
#include "kernels/random/random.hpp"

namespace moray {

namespace {
constexpr int kSteps = 8;
}

Permutation::Permutation(std::uint64_t size, std::uint64_t key, std::uint64_t round)
    : size_(size), key_(key), round_(round) {
  MORAY_REQUIRE(size >= 1);
  half_bits_ = std::max(1, static_cast<int>(std::bit_width(size - 1) + 1) / 2);
}

std::uint64_t Permutation::mix(int step, std::uint64_t half) const {
  const std::uint64_t counter =
      ((round_ * kSteps + static_cast<std::uint64_t>(step)) << half_bits_) + half;
  return random_words(key_, counter).word[0] & ((std::uint64_t{1} << half_bits_) - 1);
}

std::uint64_t Permutation::forward(std::uint64_t index) const {
  MORAY_REQUIRE(index < size_);
  if (size_ == 1) return 0;
  std::uint64_t left = index >> half_bits_, right = index & ((std::uint64_t{1} << half_bits_) - 1);
  do {
    for (int step = 0; step < kSteps; ++step) {
      const std::uint64_t next = left ^ mix(step, right);
      left = right;
      right = next;
    }
  } while (((left << half_bits_) | right) >= size_);
  return (left << half_bits_) | right;
}

std::uint64_t Permutation::inverse(std::uint64_t value) const {
  MORAY_REQUIRE(value < size_);
  if (size_ == 1) return 0;
  std::uint64_t left = value >> half_bits_, right = value & ((std::uint64_t{1} << half_bits_) - 1);
  do {
    for (int step = kSteps - 1; step >= 0; --step) {
      const std::uint64_t next = right ^ mix(step, left);
      right = left;
      left = next;
    }
  } while (((left << half_bits_) | right) >= size_);
  return (left << half_bits_) | right;
}

}  // namespace moray
