// Special values, symmetry and powers; test_mpfr.cpp has the rounding.
#include <cmath>
#include <cstdint>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"

using moray::float_bits;
using moray::float_of;
using moray::kInfinity;
using moray::kNotANumber;

TEST_CASE("exp and log of special values") {
  CHECK(moray::exp_exact(kInfinity) == kInfinity);
  CHECK(float_bits(moray::exp_exact(-kInfinity)) == 0);
  CHECK(std::isnan(moray::exp_exact(kNotANumber)));
  CHECK(moray::exp_exact(0.0f) == 1.0f);
  CHECK(moray::exp_exact(-0.0f) == 1.0f);
  CHECK(moray::exp_exact(float_of(0x42b17217)) == float_of(0x7f7fff84));  // the largest finite one
  CHECK(moray::exp_exact(float_of(0x42b17218)) == kInfinity);
  CHECK(float_bits(moray::exp_exact(float_of(0xc2cff1b4))) == 1);  // the smallest positive one
  CHECK(float_bits(moray::exp_exact(float_of(0xc2cff1b5))) == 0);
  CHECK(moray::log_exact(0.0f) == -kInfinity);
  CHECK(moray::log_exact(-0.0f) == -kInfinity);
  CHECK(moray::log_exact(kInfinity) == kInfinity);
  CHECK(float_bits(moray::log_exact(1.0f)) == 0);
  CHECK(std::isnan(moray::log_exact(-1e-45f)));
  CHECK(std::isnan(moray::log_exact(-kInfinity)));
  CHECK(std::isnan(moray::log_exact(kNotANumber)));
}

TEST_CASE("float64 exp and log of special values") {
  const double infinity = static_cast<double>(kInfinity);
  CHECK(moray::exp_exact(infinity) == infinity);
  CHECK(moray::exp_exact(-infinity) == 0);
  CHECK(moray::exp_exact(710.0) == infinity);
  CHECK(moray::exp_exact(709.0) < infinity);
  CHECK(moray::exp_exact(-745.0) == 0x1p-1074);
  CHECK(moray::exp_exact(-746.0) == 0);
  CHECK(std::isnan(moray::exp_exact(static_cast<double>(kNotANumber))));
  CHECK(moray::log_exact(0.0) == -infinity);
  CHECK(moray::log_exact(infinity) == infinity);
  CHECK(moray::log_exact(0x1p-1074) == Approx(-744.4400719213812).epsilon(1e-15));
  CHECK(std::isnan(moray::log_exact(-1.0)));
  CHECK(std::isnan(moray::log_exact(static_cast<double>(kNotANumber))));
}

TEST_CASE("sin is odd, cos is even, both NaN beyond 2^24") {
  CHECK(float_bits(moray::sin_exact(-0.0f)) == 0x80000000u);
  CHECK(moray::cos_exact(-0.0f) == 1.0f);
  for (std::uint32_t bits = 0; bits < 0x4b800000u; bits += 99991) {
    const float x = float_of(bits);
    CHECK(float_bits(moray::sin_exact(-x)) == (float_bits(moray::sin_exact(x)) ^ 0x80000000u));
    CHECK(float_bits(moray::cos_exact(-x)) == float_bits(moray::cos_exact(x)));
  }
  for (const float x : {0x1p24f, -0x1p24f, kInfinity, -kInfinity, kNotANumber}) {
    CHECK(std::isnan(moray::sin_exact(x)));
    CHECK(std::isnan(moray::cos_exact(x)));
  }
}

TEST_CASE("sigmoid and silu at their ends") {
  CHECK(moray::sigmoid_exact(0.0f) == 0.5f);
  CHECK(moray::sigmoid_exact(100.0f) == 1.0f);
  CHECK(float_bits(moray::sigmoid_exact(-100.0f)) == 0);
  CHECK(moray::silu_exact(100.0f) == 100.0f);
  CHECK(float_bits(moray::silu_exact(-100.0f)) == 0x80000000u);
  CHECK(moray::dsilu_exact(0.0f, 0.5f) == 0.5f);
}

TEST_CASE("powers multiply from the lowest bit") {
  CHECK(moray::power(3.0, 0) == 1.0);
  CHECK(moray::power(3.0, 13) == 1594323.0);
  CHECK(moray::power(0.5, 1074) == 0x1p-1074);
  const double x = 0.9999;
  const double x2 = x * x, x4 = x2 * x2;
  CHECK(moray::power(x, 7) == (x * x2) * x4);
  CHECK(moray::power(0.0, 0) == 1.0);
}
