#include <cmath>
#include <set>
#include <vector>

#include "catch.hpp"
#include "data/permutation.hpp"

using namespace moray;

namespace {

std::vector<std::uint64_t> order(std::uint64_t size, std::uint64_t key, std::uint64_t round) {
  const Permutation permutation(size, key, round);
  std::vector<std::uint64_t> values;
  for (std::uint64_t i = 0; i < size; ++i) values.push_back(permutation.forward(i));
  return values;
}

}  // namespace

TEST_CASE("each value once, and the inverse finds it, for every small size") {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    const Permutation permutation(size, 17, size % 5);
    std::set<std::uint64_t> seen;
    bool inverse = true;
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t value = permutation.forward(i);
      seen.insert(value);
      inverse = inverse && permutation.inverse(value) == i;
    }
    REQUIRE(inverse);
    REQUIRE(seen.size() == size);
    REQUIRE(*seen.rbegin() == size - 1);
  }
}

TEST_CASE("sizes around powers of four, and sizes no table could hold") {
  for (const std::uint64_t size : {4095ULL, 4096ULL, 4097ULL, 65536ULL, 65537ULL}) {
    const auto values = order(size, 3, 1);
    CHECK(std::set<std::uint64_t>(values.begin(), values.end()).size() == size);
  }
  for (const std::uint64_t size : {(1ULL << 40) - 1, (1ULL << 62) + 12345}) {
    const Permutation permutation(size, 99, 7);
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::uint64_t index = i * (size / 211);
      const std::uint64_t value = permutation.forward(index);
      REQUIRE(value < size);
      REQUIRE(permutation.inverse(value) == index);
    }
  }
}

TEST_CASE("another order for each epoch and each key") {
  const auto first = order(1000, 5, 0);
  for (const auto& other : {order(1000, 5, 1), order(1000, 6, 0)}) {
    std::size_t same = 0;
    for (std::size_t i = 0; i < first.size(); ++i) same += first[i] == other[i];
    CHECK(same < 10);  // one is expected; ten would be 1 in 10^6
  }
}

// Neighbours of the text are |a - b| = size / 3 apart on average under a uniform permutation, with a
// standard deviation of sqrt(size^2 / 18 / size) of the mean; five of these are allowed.
TEST_CASE("neighbours are far apart") {
  for (const std::uint64_t size : {257ULL, 10000ULL, 70000ULL}) {
    const auto values = order(size, 11, 2);
    double sum = 0;
    std::size_t adjacent = 0;
    for (std::size_t i = 0; i + 1 < values.size(); ++i) {
      const double gap =
          std::abs(static_cast<double>(values[i]) - static_cast<double>(values[i + 1]));
      sum += gap;
      adjacent += gap == 1;
    }
    const double n = static_cast<double>(size);
    CHECK(std::abs(sum / (n - 1) - n / 3) < 5 * std::sqrt(n / 18));
    CHECK(adjacent <= 12);  // Poisson with mean 2
  }
}

// Chi-squared over 16 x 16 cells of (index, value): 225 degrees of freedom, mean 225, deviation 21.
TEST_CASE("values do not depend on where the index lies") {
  const std::uint64_t size = 50000;
  for (std::uint64_t round = 0; round < 4; ++round) {
    const auto values = order(size, 23, round);
    std::vector<double> cells(256, 0);
    for (std::uint64_t i = 0; i < size; ++i)
      cells[(i * 16 / size) * 16 + values[i] * 16 / size] += 1;
    double chi2 = 0;
    const double expected = static_cast<double>(size) / 256;
    for (const double cell : cells) chi2 += (cell - expected) * (cell - expected) / expected;
    CHECK(chi2 < 225 + 5 * 21.3);
    CHECK(chi2 > 225 - 5 * 21.3);
  }
}

// Every order of three windows turns up in 480 epochs, and at least half of those of four.
TEST_CASE("a small permutation is no rotation") {
  std::set<std::vector<std::uint64_t>> seen;
  for (std::uint64_t round = 0; round < 480; ++round) seen.insert(order(4, 1, round));
  CHECK(seen.size() >= 12);
  seen.clear();
  for (std::uint64_t round = 0; round < 480; ++round) seen.insert(order(3, 1, round));
  CHECK(seen.size() == 6);
}
