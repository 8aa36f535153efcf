#include "data/synthetic.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/random/random.hpp"

namespace moray {

namespace {
constexpr int kPositionBits = 24;
constexpr std::size_t kRepeat = 8;
}  // namespace

SyntheticText::SyntheticText(std::string_view name, std::uint64_t seed, std::int64_t vocabulary)
    : key_(random_key(name, seed)), vocabulary_(static_cast<std::uint64_t>(vocabulary)) {
  MORAY_REQUIRE(vocabulary >= 2 && vocabulary <= std::int64_t{1} << 31);
}

void SyntheticText::read(std::uint64_t g, std::span<std::int32_t> tokens) const {
  MORAY_REQUIRE(g < std::uint64_t{1} << 40 && tokens.size() <= std::size_t{1} << kPositionBits);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const RandomWords words = random_words(key_, (g << kPositionBits) + i);
    const std::uint32_t choice = words.word[0] >> 30;
    std::uint64_t token;
    if (choice >= 2 && i >= 1) {
      token =
          (5 * static_cast<std::uint64_t>(tokens[i - 1]) + 1 + (words.word[3] >> 31)) % vocabulary_;
    } else if (choice == 1 && i >= kRepeat) {
      token = static_cast<std::uint64_t>(tokens[i - kRepeat]);
    } else {
      token = (std::min(words.word[1], words.word[2]) * vocabulary_) >> 32;
    }
    tokens[i] = static_cast<std::int32_t>(token);
  }
}

}  // namespace moray
