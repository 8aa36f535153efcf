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
/// t = (r1 >> 8) 2^-24, index = first + i; in float64 with the functions of kernels/functions.
/// Does not fence.
void fill_normal(const ExecSpace& exec, std::uint64_t key, std::uint64_t first,
                 double standard_deviation, Vector<float> out);

/// A uniform integer in [0, bound), bound >= 1, without modulo bias: Lemire's method. A draw is
/// x = r0 + 2^32 r1 of the next index; it is accepted unless x bound mod 2^64 < 2^64 mod bound, and
/// gives floor(x bound / 2^64). `index` is advanced past the draws used.
std::uint64_t random_below(std::uint64_t key, std::uint64_t& index, std::uint64_t bound);

}  // namespace moray
