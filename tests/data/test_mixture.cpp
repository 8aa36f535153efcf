#include <cmath>
#include <vector>

#include "catch.hpp"
#include "data/mixture.hpp"

using namespace moray;

namespace {

/// Runs through g = 0..count-1 and checks that each source's draws are a permutation without gaps
/// inside every block: the numbers drawn so far at a block's end are exactly 0..n-1.
std::vector<std::uint64_t> counts(const Mixture& mixture, std::size_t sources,
                                  std::uint64_t count) {
  std::vector<std::vector<bool>> seen(sources);
  std::vector<std::uint64_t> drawn(sources, 0);
  for (std::uint64_t g = 0; g < count; ++g) {
    const Mixture::Draw draw = mixture.locate(g);
    auto& flags = seen[draw.source];
    if (flags.size() <= draw.number) flags.resize(draw.number + 1, false);
    REQUIRE(!flags[draw.number]);
    flags[draw.number] = true;
    ++drawn[draw.source];
  }
  return drawn;
}

}  // namespace

TEST_CASE("one source is read in order") {
  const Mixture mixture({{1.0, Mixture::kEndless}}, 5);
  for (const std::uint64_t g : {0ULL, 1ULL, 255ULL, 256ULL, 1ULL << 40}) {
    CHECK(mixture.locate(g).source == 0);
    CHECK(mixture.locate(g).number == g);
  }
  CHECK(mixture.samples() == Mixture::kEndless);
}

TEST_CASE("proportions follow the weights at every block") {
  const std::vector<double> weights{5, 1, 0.25, 2.75, 1};
  std::vector<Mixture::Source> sources;
  for (const double weight : weights) sources.push_back({weight, Mixture::kEndless});
  const Mixture mixture(sources, 77);
  for (const std::uint64_t blocks : {1ULL, 2ULL, 7ULL, 40ULL}) {
    const std::uint64_t n = blocks * Mixture::kBlock;
    const auto drawn = counts(mixture, sources.size(), n);
    for (std::size_t s = 0; s < weights.size(); ++s) {
      const double share = static_cast<double>(n) * weights[s] / 10;
      CHECK(std::abs(static_cast<double>(drawn[s]) - share) <= 1.5);  // three levels, half each
    }
  }
}

TEST_CASE("every rank of a layout meets every source") {
  const Mixture mixture({{1, Mixture::kEndless}, {1, Mixture::kEndless}}, 3);
  for (std::uint64_t ranks = 2; ranks <= 16; ranks *= 2) {
    for (std::uint64_t rank = 0; rank < ranks; ++rank) {
      double second = 0;
      for (std::uint64_t i = 0; i < 512; ++i) {
        second += static_cast<double>(mixture.locate(rank + i * ranks).source);
      }
      CHECK(std::abs(second - 256) < 5 * std::sqrt(512.0) / 2);
    }
  }
}

TEST_CASE("a source leaves at its limit, and all limits end the mix") {
  const std::vector<Mixture::Source> sources{{3, 700}, {1, 1000}, {2, 50}};
  const Mixture mixture(sources, 9);
  CHECK(mixture.samples() == 1750);
  const auto drawn = counts(mixture, 3, 1750);
  CHECK(drawn == std::vector<std::uint64_t>{700, 1000, 50});
  // The third source ends first: after about 50 / (2 / 6) samples it is never drawn again.
  for (std::uint64_t g = 160; g < 1750; ++g) REQUIRE(mixture.locate(g).source != 2);
  // The last samples are the second source's alone.
  for (std::uint64_t g = 1300; g < 1750; ++g) REQUIRE(mixture.locate(g).source == 1);
}

TEST_CASE("a limited source beside an endless one") {
  const Mixture mixture({{1, 10}, {1, Mixture::kEndless}}, 1);
  CHECK(mixture.samples() == Mixture::kEndless);
  const auto drawn = counts(mixture, 2, 4096);
  CHECK(drawn == std::vector<std::uint64_t>{10, 4086});
  const Mixture::Draw far = mixture.locate(std::uint64_t{1} << 50);
  CHECK(far.source == 1);
  CHECK(far.number == (std::uint64_t{1} << 50) - 10);
}

TEST_CASE("very unequal weights") {
  const Mixture mixture({{1e-6, Mixture::kEndless}, {1, Mixture::kEndless}}, 2);
  std::uint64_t rare = 0;
  for (std::uint64_t g = 0; g < 2'000'128; ++g) rare += mixture.locate(g).source == 0;
  CHECK(rare == 2);
}
