#include <cmath>

#include "catch.hpp"
#include "core/bf16.hpp"

using namespace moray;

namespace {

/// The nearest bf16, ties to the even one, by comparing distances instead of adding bits.
std::uint16_t nearest(std::uint32_t bits) {
  const auto low = static_cast<std::uint16_t>(bits >> 16);  // towards zero
  const auto high = static_cast<std::uint16_t>(low + 1);
  const double value = __builtin_bit_cast(float, bits);
  // Beyond the largest bf16 the next one is 2^128, which is kept as infinity.
  const double above = (high & 0x7fff) == 0x7f80 ? std::copysign(0x1p128, value)
                                                 : static_cast<double>(bf16_decode(high));
  const double to_low = std::abs(value - static_cast<double>(bf16_decode(low)));
  const double to_high = std::abs(above - value);
  if (to_low == to_high) return (low & 1) == 0 ? low : high;
  return to_low < to_high ? low : high;
}

}  // namespace

TEST_CASE("bf16 is rounded to nearest even, denormals and infinity included", "[bf16]") {
  for (std::uint32_t top = 0; top < 0x10000; ++top) {
    if ((top & 0x7f80U) == 0x7f80U) continue;
    for (const std::uint32_t rest : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      const std::uint32_t bits = top << 16 | rest;
      const std::uint16_t got = bf16_encode(__builtin_bit_cast(float, bits));
      if (got != nearest(bits)) FAIL("bits " << std::hex << bits << ": " << got);
    }
  }
  CHECK(bf16_encode(INFINITY) == 0x7f80);
  CHECK(bf16_encode(-INFINITY) == 0xff80);
  for (const std::uint32_t bits : {0x7f800001U, 0x7fffffffU, 0xff808000U, 0xffffffffU}) {
    const float back = bf16_decode(bf16_encode(__builtin_bit_cast(float, bits)));
    CHECK(back != back);
  }
}

TEST_CASE("every code of bf16 decodes to its fields, and encoding takes it back", "[bf16]") {
  for (std::uint32_t code = 0; code < 0x10000; ++code) {
    const int field = static_cast<int>(code >> 7 & 0xffU);
    const auto fraction = static_cast<double>(code & 0x7fU);
    const float value = bf16_decode(static_cast<std::uint16_t>(code));
    if (field == 0xff && fraction > 0) {  // its bits stay, made quiet
      CHECK(value != value);
      CHECK(bf16_encode(value) == (code | 0x40U));
      continue;
    }
    const double magnitude = field == 0xff ? INFINITY
                             : field == 0  ? std::ldexp(fraction, -133)
                                           : std::ldexp(128 + fraction, field - 134);
    if (static_cast<double>(value) != (code < 0x8000U ? magnitude : -magnitude))
      FAIL("code " << std::hex << code);
    CHECK(bf16_encode(value) == code);
  }
}
