#include "kernels/random/random.hpp"

#include <Random123/philox.h>
#include <xxhash.h>

#include "kernels/functions/functions.hpp"

namespace moray {
namespace {

constexpr double kTwoPi = 0x1.921fb54442d18p+2;

KOKKOS_INLINE_FUNCTION RandomWords philox_words(std::uint64_t key, std::uint64_t index) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x & 0xffffffffu); };
  const r123::Philox4x32::ctr_type counter = {{low(index), low(index >> 32), 0, 0}};
  const r123::Philox4x32::key_type key_words = {{low(key), low(key >> 32)}};
  const r123::Philox4x32::ctr_type words = r123::Philox4x32()(counter, key_words);
  return {{words[0], words[1], words[2], words[3]}};
}

/// Box and Muller (1958): sqrt(-2 log u) cos(2 pi t). Words have 24 random bits each, so that u and
/// t are exact and u is never 0 or 1.
KOKKOS_INLINE_FUNCTION double normal(const RandomWords& words) {
  const double u = (static_cast<double>(words.word[0] >> 8) + 0.5) * 0x1p-24;
  const double t = static_cast<double>(words.word[1] >> 8) * 0x1p-24;
  return square_root(-2.0 * log_exact(u)) * cos_exact(kTwoPi * t);
}

}  // namespace

std::uint64_t random_key(std::string_view name, std::uint64_t seed) {
  return XXH3_64bits(name.data(), name.size()) ^ seed;
}

RandomWords random_words(std::uint64_t key, std::uint64_t index) {
  return philox_words(key, index);
}

void fill_normal(const ExecSpace& exec, std::uint64_t key, std::uint64_t first,
                 double standard_deviation, Vector<float> out) {
  static const std::string label = "moray::random::fill_normal";
  parallel_for(
      label, exec, out.size, KOKKOS_LAMBDA(std::int64_t i) {
        const RandomWords words = philox_words(key, first + static_cast<std::uint64_t>(i));
        out[i] = static_cast<float>(standard_deviation * normal(words));
      });
}

std::uint64_t random_below(std::uint64_t key, std::uint64_t& index, std::uint64_t bound) {
  // Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019).
  __extension__ using Wide = unsigned __int128;
  const auto draw = [&] {
    const RandomWords words = random_words(key, index++);
    return static_cast<Wide>(words.word[0] | std::uint64_t{words.word[1]} << 32) * bound;
  };
  Wide product = draw();
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;  // 2^64 mod bound
    while (static_cast<std::uint64_t>(product) < threshold) product = draw();
  }
  return static_cast<std::uint64_t>(product >> 64);
}

}  // namespace moray
