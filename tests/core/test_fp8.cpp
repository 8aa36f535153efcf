#include "core/fp8.hpp"

#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "core/bf16.hpp"

using namespace moray;

namespace {

/// A format by its fields, apart from the one under test: `exponent` and `mantissa` bits below a
/// sign. Codes beyond `largest` are no finite values.
struct Fields {
  const char* name;
  int exponent;
  int mantissa;
  std::uint32_t largest;
  bool has_infinity;
  std::uint32_t nan;  ///< what a NaN becomes
  std::uint32_t (*encode)(float);
  float (*decode)(std::uint32_t);

  std::uint32_t sign() const { return 1U << (exponent + mantissa); }
};

const std::vector<Fields> kFormats = {
    {"E4M3", 4, 3, 0x7e, false, 0x7f, [](float x) { return std::uint32_t{e4m3_encode(x)}; },
     [](std::uint32_t c) { return e4m3_decode(static_cast<std::uint8_t>(c)); }},
    {"E5M2", 5, 2, 0x7b, true, 0x7f, [](float x) { return std::uint32_t{e5m2_encode(x)}; },
     [](std::uint32_t c) { return e5m2_decode(static_cast<std::uint8_t>(c)); }},
    {"E5M6", 5, 6, 0x7bf, true, 0x7ff, [](float x) { return std::uint32_t{e5m6_encode(x)}; },
     [](std::uint32_t c) { return e5m6_decode(static_cast<std::uint16_t>(c)); }},
};

std::uint32_t bits_of(float x) {
  return __builtin_bit_cast(std::uint32_t, x);
}
float float_of(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

/// The value of a code without sign up to largest + 1, which is the next one if exponents went on.
/// Float64 holds it, and every midpoint of two neighbours, exactly.
double value_of(const Fields& f, std::uint32_t code) {
  const int field = static_cast<int>(code >> f.mantissa);
  const auto fraction = static_cast<double>(code & ((1U << f.mantissa) - 1));
  const int bias = (1 << (f.exponent - 1)) - 1;
  if (field == 0) return std::ldexp(fraction, 1 - bias - f.mantissa);
  return std::ldexp(std::ldexp(1.0, f.mantissa) + fraction, field - bias - f.mantissa);
}

double midpoint(const Fields& f, std::uint32_t code) {
  return (value_of(f, code) + value_of(f, code + 1)) / 2;
}

/// Checks encode(x) and encode(-x) against the code that `x` must get.
void check_encode(const Fields& f, float x, std::uint32_t code) {
  const std::uint32_t got = f.encode(x), negative = f.encode(-x);
  if (got == code && negative == (code | f.sign())) return;
  FAIL(f.name << " of +-" << x << " gives " << std::hex << got << " and " << negative << ", not "
              << code);
}

/// Every number of both signs, infinities included, by walking through codes: the code of x is the
/// number of midpoints below it, one that x meets counting where the next code is even.
void walk_numbers(const Fields& f) {
  std::uint32_t code = 0;
  double above = midpoint(f, 0);
  for (std::uint32_t bits = 0; bits < 0x7f800001U; ++bits) {
    const float x = float_of(bits);
    while (code < f.largest && (x > above || (x == above && code % 2 == 1))) {
      above = midpoint(f, ++code);
    }
    check_encode(f, x, code);
  }
}

/// Every NaN of both signs.
template <class Expected>
void walk_nans(const Fields& f, const Expected& expected) {
  for (std::uint32_t bits = 0x7f800001U; bits < 0x80000000U; ++bits) {
    for (const std::uint32_t nan : {bits, bits | 0x80000000U}) {
      if (f.encode(float_of(nan)) != expected(nan)) {
        FAIL(f.name << " of a NaN, " << std::hex << nan);
      }
    }
  }
}

}  // namespace

TEST_CASE("every code of a small format decodes to the value of its fields", "[fp8]") {
  for (const Fields& f : kFormats) {
    INFO(f.name);
    for (std::uint32_t code = 0; code < 2 * f.sign(); ++code) {
      INFO("code " << std::hex << code);
      const std::uint32_t magnitude = code & (f.sign() - 1);
      const std::uint32_t sign = code < f.sign() ? 0 : 0x80000000U;
      const std::uint32_t got = bits_of(f.decode(code));
      if (magnitude <= f.largest) {
        const auto value = static_cast<float>(value_of(f, magnitude));
        CHECK(static_cast<double>(value) == value_of(f, magnitude));
        CHECK(got == (bits_of(value) | sign));
      } else if (f.has_infinity && magnitude == f.largest + 1) {
        CHECK(got == (0x7f800000U | sign));
      } else {
        CHECK(got == 0x7fc00000U);
      }
    }
  }
  CHECK(E4m3::kLargestValue == 448.0F);
  CHECK(E5m2::kLargestValue == 57344.0F);
  CHECK(E5m6::kLargestValue == 65024.0F);
}

TEST_CASE("encode takes back what decode gave", "[fp8]") {
  for (const Fields& f : kFormats) {
    INFO(f.name);
    for (std::uint32_t code = 0; code < 2 * f.sign(); ++code) {
      const std::uint32_t magnitude = code & (f.sign() - 1);
      const std::uint32_t got = f.encode(f.decode(code));
      if (magnitude <= f.largest) {
        CHECK(got == code);
      } else if (f.has_infinity && magnitude == f.largest + 1) {
        CHECK(got == code - 1);  // saturated
      } else {
        CHECK(got == f.nan);
      }
    }
  }
}

TEST_CASE("values are rounded to nearest even at every midpoint and beside it", "[fp8]") {
  for (const Fields& f : kFormats) {
    for (std::uint32_t code = 0; code <= f.largest; ++code) {
      const auto middle = static_cast<float>(midpoint(f, code));
      const auto value = static_cast<float>(value_of(f, code));
      const std::uint32_t next = code < f.largest ? code + 1 : code;
      check_encode(f, value, code);
      check_encode(f, std::nextafter(value, INFINITY), code);
      if (code > 0) check_encode(f, std::nextafter(value, 0.0F), code);
      check_encode(f, std::nextafter(middle, 0.0F), code);
      check_encode(f, middle, code % 2 == 0 ? code : next);
      check_encode(f, std::nextafter(middle, INFINITY), next);
    }
    for (const float large : {65505.0F, 1e30F, 3.4028234e38F, INFINITY}) {
      check_encode(f, large, f.largest);
    }
    for (const std::uint32_t tiny : {0U, 1U, 0x7fffffU, 0x800000U}) {
      check_encode(f, float_of(tiny), 0);  // +-0 keeps its sign
    }
    for (const std::uint32_t nan : {0x7f800001U, 0x7fc00000U, 0xff800001U, 0xffffffffU}) {
      CHECK(f.encode(float_of(nan)) == f.nan);
    }
  }
}

/// fp8_values.txt was written by another implementation (its first line says which).
TEST_CASE("E4M3 and E5M2 decode as another implementation does", "[fp8]") {
  std::ifstream file(MORAY_FP8_VALUES);
  REQUIRE(file);
  std::string line;
  std::getline(file, line);
  std::uint32_t code = 0, e4m3 = 0, e5m2 = 0;
  int lines = 0;
  for (file >> std::hex; file >> code >> e4m3 >> e5m2; ++lines) {
    INFO("code " << std::hex << code);
    const float ours[] = {kFormats[0].decode(code), kFormats[1].decode(code)};
    const float theirs[] = {float_of(e4m3), float_of(e5m2)};
    for (const int i : {0, 1}) {
      const bool both_nan = std::isnan(ours[i]) && std::isnan(theirs[i]);
      CHECK((both_nan || bits_of(ours[i]) == bits_of(theirs[i])));
    }
  }
  CHECK(lines == 256);
}

TEST_CASE("eight E5M6 codes lie in three words, the first highest", "[fp8]") {
  const std::uint32_t code[8] = {0x123, 0x456, 0x789, 0xabc, 0xdef, 0x012, 0x345, 0x678};
  std::uint32_t word[3], back[8];
  e5m6_pack(code, word);
  CHECK(word[0] == 0x12345678U);
  CHECK(word[1] == 0x9abcdef0U);
  CHECK(word[2] == 0x12345678U);
  for (std::uint32_t bit = 0; bit < 96; ++bit) {  // each bit of a code is one bit of a word
    std::uint32_t one[8] = {};
    one[bit / 12] = 0x800U >> bit % 12;
    e5m6_pack(one, word);
    for (std::uint32_t w = 0; w < 3; ++w) {
      CHECK(word[w] == (bit / 32 == w ? 0x80000000U >> bit % 32 : 0U));
    }
    e5m6_unpack(word, back);
    CHECK(std::memcmp(back, one, sizeof(one)) == 0);
  }
}

TEST_CASE("UE8M0 codes are the powers of two", "[fp8]") {
  for (int code = 0; code < 255; ++code) {
    const float value = ue8m0_decode(static_cast<std::uint8_t>(code));
    CHECK(static_cast<double>(value) == std::ldexp(1.0, code - 127));
    CHECK(ue8m0_encode(value) == code);
  }
  CHECK(std::isnan(ue8m0_decode(0xff)));
  CHECK(ue8m0_encode(NAN) == 0xff);
}

TEST_CASE("a scale is rounded up to a power of two, never down", "[fp8]") {
  for (int n = -126; n <= 127; ++n) {
    const auto power = static_cast<float>(std::ldexp(1.0, n));
    CHECK(power_of_two_above(power) == power);
    if (n > -126) CHECK(power_of_two_above(std::nextafter(power, 0.0F)) == power);
    if (n < 127) {
      CHECK(power_of_two_above(std::nextafter(power, INFINITY)) == 2 * power);
      CHECK(power_of_two_above(1.5F * power) == 2 * power);
    }
  }
  for (const float beyond : {3.4028234e38F, INFINITY, NAN, -NAN}) {
    CHECK(bits_of(power_of_two_above(beyond)) == 0x7fc00000U);
  }
}

TEST_CASE("E4M3 of all float32", "[long]") {
  walk_numbers(kFormats[0]);
  walk_nans(kFormats[0], [](std::uint32_t) { return 0x7fU; });
}
TEST_CASE("E5M2 of all float32", "[long]") {
  walk_numbers(kFormats[1]);
  walk_nans(kFormats[1], [](std::uint32_t) { return 0x7fU; });
}
TEST_CASE("E5M6 of all float32", "[long]") {
  walk_numbers(kFormats[2]);
  walk_nans(kFormats[2], [](std::uint32_t) { return 0x7ffU; });
}
/// bf16 overflows to infinity, here the code after the largest value; a NaN keeps its upper bits.
TEST_CASE("bf16 of all float32", "[long]") {
  const Fields bf16 = {
      "bf16", 8, 7, 0x7f80, true, 0, [](float x) { return std::uint32_t{bf16_encode(x)}; },
      nullptr};
  walk_numbers(bf16);
  walk_nans(bf16, [](std::uint32_t nan) { return (nan | 0x400000U) >> 16; });
}
