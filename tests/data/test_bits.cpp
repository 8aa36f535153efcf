// Numbers of docs/numerics/data.md: computed by a program written from that page alone (Philox,
// Feistel, mixing and text in integer Python, XXH3 from its library), seed 1234.
#include <vector>

#include "catch.hpp"
#include "data/fill_in_the_middle.hpp"
#include "data/mixture.hpp"
#include "data/permutation.hpp"
#include "data/synthetic.hpp"
#include "kernels/random/random.hpp"

using namespace moray;

namespace {

constexpr std::uint64_t kSeed = 1234;
using Numbers = std::vector<std::uint64_t>;

Numbers first(std::uint64_t size, std::string_view name, std::uint64_t round, std::uint64_t count) {
  const Permutation permutation(size, random_key(name, kSeed), round);
  Numbers values;
  for (std::uint64_t i = 0; i < count; ++i) values.push_back(permutation.forward(i));
  return values;
}

std::vector<std::int32_t> synthetic(std::string_view name, std::int64_t vocabulary, std::uint64_t g,
                                    std::size_t count) {
  std::vector<std::int32_t> tokens(count);
  SyntheticText(name, kSeed, vocabulary).read(g, tokens);
  return tokens;
}

}  // namespace

TEST_CASE("the shuffle has the bits of the page") {
  CHECK(first(1000, "data.shuffle.0", 0, 12) ==
        Numbers{485, 245, 56, 451, 467, 149, 853, 13, 436, 646, 593, 106});
  CHECK(first(1000, "data.shuffle.0", 1, 12) ==
        Numbers{573, 137, 637, 651, 746, 110, 400, 496, 766, 171, 304, 645});
  CHECK(first(5, "data.shuffle.1", 0, 5) == Numbers{2, 1, 3, 0, 4});
}

TEST_CASE("the mix has the bits of the page") {
  const Mixture mixture({{3, 700}, {1, 1000}, {2, 50}}, random_key("data.mixture", kSeed));
  struct Row {
    std::uint64_t g;
    std::size_t source;
    std::uint64_t number;
  };
  const std::vector<Row> rows{{0, 2, 10},    {1, 0, 13},    {2, 0, 65},     {3, 2, 21},
                              {4, 0, 29},    {5, 0, 53},    {6, 2, 20},     {7, 0, 50},
                              {100, 0, 4},   {151, 1, 87},  {160, 0, 208},  {161, 1, 38},
                              {500, 0, 291}, {999, 1, 249}, {1300, 1, 550}, {1749, 1, 999}};
  for (const Row& row : rows) {
    CHECK(mixture.locate(row.g).source == row.source);
    CHECK(mixture.locate(row.g).number == row.number);
  }
}

TEST_CASE("fill-in-the-middle has the bits of the page") {
  const FillInTheMiddle fim(0.3, random_key("data.fim.0", kSeed));
  const std::vector<Numbers> cuts{{531, 893}, {331, 774}, {76, 194},
                                  {435, 763}, {529, 894}, {242, 906}};
  for (std::uint64_t d = 0; d < cuts.size(); ++d) {
    CHECK(fim.chosen(d) == (d == 0));
    CHECK(fim.cuts(d, 1000).first == cuts[d][0]);
    CHECK(fim.cuts(d, 1000).second == cuts[d][1]);
  }
}

TEST_CASE("synthetic text has the bits of the page") {
  CHECK(synthetic("data.synthetic", 260, 0, 24) ==
        std::vector<std::int32_t>{104, 1, 31, 156, 1, 49, 99,  4,   104, 90,  192, 156,
                                  1,   6, 31, 157, 7, 36, 182, 131, 137, 101, 76,  157});
  CHECK(synthetic("data.synthetic", 260, 3, 12) ==
        std::vector<std::int32_t>{6, 66, 71, 101, 178, 94, 105, 195, 196, 96, 221, 67});
  CHECK(synthetic("data.synthetic.validation", 100, 63, 12) ==
        std::vector<std::int32_t>{40, 1, 8, 41, 5, 26, 32, 62, 11, 31, 8, 41});
}
