#include "data/fill_in_the_middle.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/random/random.hpp"

namespace moray {

__extension__ typedef unsigned __int128 Wide;

FillInTheMiddle::FillInTheMiddle(double rate, std::uint64_t key) : key_(key) {
  MORAY_REQUIRE(rate >= 0 && rate <= 1);
  threshold_ = static_cast<std::uint64_t>(rate * 4294967296.0);
}

bool FillInTheMiddle::chosen(std::uint64_t document) const {
  return threshold_ > 0 && random_words(key_, document).word[0] < threshold_;
}

FillInTheMiddle::Cuts FillInTheMiddle::cuts(std::uint64_t document, std::uint64_t bytes) const {
  const RandomWords words = random_words(key_, document);
  const auto cut = [&](std::uint32_t word) {
    return static_cast<std::uint64_t>((Wide{word} * (Wide{bytes} + 1)) >> 32);
  };
  const std::uint64_t a = cut(words.word[1]), b = cut(words.word[2]);
  return {std::min(a, b), std::max(a, b)};
}

}  // namespace moray
