#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "catch.hpp"
#include "core/exact_sum.hpp"

using moray::ExactSum;

namespace {
double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (double v : values) sum.add(v);
  return sum.value();
}
}  // namespace

TEST_CASE("exact sum cancels over the whole range of float64", "[exact_sum]") {
  const double huge = std::numeric_limits<double>::max();
  const double tiny = std::numeric_limits<double>::denorm_min();
  CHECK(sum_of({}) == 0.0);
  CHECK(sum_of({huge, tiny, -huge}) == tiny);
  CHECK(sum_of({1e16, 1.0, -1e16}) == 1.0);
  CHECK(sum_of({-tiny, -tiny, -tiny}) == -3 * tiny);
  CHECK(sum_of({0.1, 0.2, -0.3}) == std::ldexp(1.0, -55));
}

TEST_CASE("exact sum rounds once, ties to even", "[exact_sum]") {
  const double ulp = std::ldexp(1.0, -52);
  CHECK(sum_of({1.0, ulp / 2}) == 1.0);
  CHECK(sum_of({1.0 + ulp, ulp / 2}) == 1.0 + 2 * ulp);
  CHECK(sum_of({1.0, ulp / 2, 1e-300}) == 1.0 + ulp);
  CHECK(sum_of({-1.0, -ulp / 2, -1e-300}) == -(1.0 + ulp));
  CHECK(sum_of({1.0, ulp / 2, -1e-300}) == 1.0);
}

TEST_CASE("exact sum of two values is the IEEE sum", "[exact_sum]") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200000; ++i) {
    const double a = std::bit_cast<double>(random());
    const double b = std::bit_cast<double>((random() & 0x800fffffffffffffu) |
                                           (std::bit_cast<std::uint64_t>(a) & 0x7ff0000000000000u));
    if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(a + b)) continue;
    REQUIRE(sum_of({a, b}) == a + b);
  }
}

TEST_CASE("exact sum does not depend on order or on how it was split over ranks", "[exact_sum]") {
  std::mt19937_64 random(11);
  std::vector<double> values;
  for (int i = 0; i < 5000; ++i) {
    values.push_back(std::ldexp(static_cast<double>(static_cast<std::int64_t>(random())),
                                static_cast<int>(random() % 200) - 100));
  }
  const double expected = sum_of(values);
  for (std::size_t ranks : {2u, 3u, 8u}) {
    std::vector<ExactSum> part(ranks);
    for (std::size_t i = 0; i < values.size(); ++i) part[(i * 7) % ranks].add(values[i]);
    ExactSum total;
    for (const ExactSum& p : part) total.add(p);
    CHECK(total.value() == expected);
  }
}

TEST_CASE("exact sum reports values that are not finite", "[exact_sum]") {
  CHECK(std::isnan(sum_of({1.0, std::numeric_limits<double>::infinity()})));
  CHECK(std::isnan(sum_of({std::numeric_limits<double>::quiet_NaN()})));
}
