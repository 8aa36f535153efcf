#pragma once

#include <cstdint>
#include <string_view>

#include "core/matrix.hpp"

namespace moray {

/// Key of a tensor's random numbers: XXH3_64(name) xor seed.
std::uint64_t random_key(std::string_view name, std::uint64_t seed);

/// Philox4x32-10 (Salmon et al., 2011) words of counter (index low, index high, 0, 0).
struct RandomWords {
  std::uint32_t word[4];
};
RandomWords random_words(std::uint64_t key, std::uint64_t index);

/// out[i] = float32(std (sqrt(-2 log u) cos(2 pi t))), u = ((r0 >> 8) + 1/2) 2^-24,
/// t = (r1 >> 8) 2^-24, index = first + i.
void fill_normal(const ExecSpace& exec, std::uint64_t key, std::uint64_t first,
                 double standard_deviation, Vector<float> out);

/// A uniform integer in [0, bound), bound >= 1, without modulo bias: Lemire's method over successive
/// indices. `index` is advanced past the words used.
std::uint64_t random_below(std::uint64_t key, std::uint64_t& index, std::uint64_t bound);

}  // namespace moray
