#include "core/exact_sum.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace moray {
namespace {
constexpr int kLowestExponent = -1074;  // of the unit of limb 0
constexpr std::int64_t kDigit = std::int64_t{1} << 32;
__extension__ using uint128 = unsigned __int128;
}  // namespace

void ExactSum::add(double value) {
  if (!std::isfinite(value)) {
    ++limbs_[kLimbs];
    return;
  }
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const int biased = static_cast<int>((bits >> 52) & 0x7ff);
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (biased != 0) mantissa |= std::uint64_t{1} << 52;
  // value = mantissa * 2^exponent; shift is where its lowest bit falls.
  const int exponent = (biased == 0 ? 1 : biased) - 1075;
  const int shift = exponent - kLowestExponent;
  const int limb = shift / 32;
  const auto wide = static_cast<uint128>(mantissa) << (shift % 32);  // at most 85 bits
  const std::int64_t sign = (bits >> 63) != 0 ? -1 : 1;
  for (int i = 0; i < 3; ++i) {
    limbs_[static_cast<std::size_t>(limb + i)] +=
        sign * static_cast<std::int64_t>((wide >> (32 * i)) & 0xffffffffu);
  }
  if (++pending_ == (std::int64_t{1} << 29)) normalize();
}

void ExactSum::add(const ExactSum& other) {
  ExactSum carried = other;
  carried.normalize();
  normalize();
  for (int i = 0; i < kWords; ++i)
    limbs_[static_cast<std::size_t>(i)] += carried.limbs_[static_cast<std::size_t>(i)];
}

void ExactSum::normalize() {
  for (std::size_t i = 0; i + 1 < kLimbs; ++i) {
    const std::int64_t carry = limbs_[i] >> 32;  // arithmetic shift: floor
    limbs_[i] -= carry * kDigit;
    limbs_[i + 1] += carry;
  }
  pending_ = 0;
}

double ExactSum::value() const {
  if (limbs_[kLimbs] != 0) return std::numeric_limits<double>::quiet_NaN();
  ExactSum sum = *this;
  sum.normalize();
  bool negative = sum.limbs_[kLimbs - 1] < 0;
  if (negative) {
    for (std::size_t i = 0; i < kLimbs; ++i) sum.limbs_[i] = -sum.limbs_[i];
    sum.normalize();
  }
  int top = kLimbs - 1;
  while (top >= 0 && sum.limbs_[static_cast<std::size_t>(top)] == 0) --top;
  if (top < 0) return 0.0;
  // The highest 64 to 96 bits, and whether anything lies below them (sticky).
  uint128 head = 0;
  for (int i = 0; i < 3; ++i) {
    head = (head << 32) |
           (top - i >= 0 ? static_cast<std::uint64_t>(sum.limbs_[static_cast<std::size_t>(top - i)])
                         : 0u);
  }
  bool sticky = false;
  for (int i = top - 3; i >= 0; --i)
    sticky = sticky || sum.limbs_[static_cast<std::size_t>(i)] != 0;
  int exponent = kLowestExponent + 32 * (top - 2);
  // Bring the head to 62 bits plus a sticky one, then round to 53 or, for denormals, fewer.
  int width = 0;
  for (uint128 rest = head; rest != 0; rest >>= 1) ++width;
  int keep = 53;
  const int lowest = exponent + width - keep;
  if (lowest < kLowestExponent) keep -= kLowestExponent - lowest;
  const int drop = width - keep;
  std::uint64_t mantissa = 0;
  if (drop <= 0) {
    mantissa = static_cast<std::uint64_t>(head);
  } else {
    mantissa = static_cast<std::uint64_t>(head >> drop);
    const uint128 rest = head & ((static_cast<uint128>(1) << drop) - 1);
    const uint128 half = static_cast<uint128>(1) << (drop - 1);
    if (rest > half || (rest == half && (sticky || (mantissa & 1) != 0))) ++mantissa;
    exponent += drop;
  }
  const double magnitude = std::ldexp(static_cast<double>(mantissa), exponent);
  return negative ? -magnitude : magnitude;
}

}  // namespace moray
