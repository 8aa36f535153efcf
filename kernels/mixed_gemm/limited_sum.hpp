#pragma once

#include "core/fp8.hpp"
#include "kernels/mixed_gemm/mixed_numbers.hpp"

/// The sum of products in an accumulator of 14 bits, a model of Hopper's FP8 tensor cores: docs/fp8.md
/// section 3. Written once for one element and for vectors of them, as core/fp8.hpp.
namespace MORAY_FUNCTIONS_NAMESPACE {

/// Products that are added at once: those of one instruction.
constexpr int kLimitedGroup = 32;
/// Bits behind the point of what is added, relative to the largest of a group.
constexpr int kLimitedBits = 13;

/// The exponent of the least normal number of a type.
constexpr int least_exponent(NumberType type) {
  return type == NumberType::e4m3   ? 1 - E4m3::kBias
         : type == NumberType::bf16 ? -126
                                    : 1 - E5m2::kBias;
}

/// One element's accumulator, or a vector of them. A group is add_exponents() for each product,
/// align(), add() for each product, finish().
template <class Lanes>
struct LimitedSum {
  using Bits = typename Lanes::Bits;
  using Real = typename Lanes::Real;
  /// Less than every exponent, also when two of them are added.
  static constexpr int kNone = -4096;

  Real value;     ///< the accumulator
  Real mantissa;  ///< s = mantissa 2^exponent is what each product is multiplied by
  Bits exponent;

  MORAY_FUNCTION void start(Real from) {
    value = from;
    mantissa = Lanes::real(Lanes::all(0x3f800000));
    exponent = Lanes::all(0);
  }
  MORAY_FUNCTION void multiply_by(Real s) {
    exponent = (Lanes::bits(s) >> 23) - 127;
    mantissa = Lanes::real((Lanes::bits(s) & 0x7fffff) | 0x3f800000);
  }

  /// floor(log2 |x|), but at least `least`; kNone for zero.
  MORAY_FUNCTION static Bits exponent_of(Real x, int least) {
    const Bits magnitude = Lanes::bits(x) & 0x7fffffff;
    const Bits field = (magnitude >> 23) - 127;
    const Bits bounded = field < least ? Lanes::all(least) : field;
    return magnitude == 0 ? Lanes::all(kNone) : bounded;
  }

  /// Before the products of a group, whose largest exponent is given.
  MORAY_FUNCTION void align(Bits largest) {
    const Bits own = exponent_of(value, -126) - exponent;
    top_ = largest > own ? largest : own;
    unit_ = mantissa * power(kLimitedBits - top_);
    sum_ = truncated(value * power(-exponent) * power(kLimitedBits - top_));
  }
  MORAY_FUNCTION void add(Real product) { sum_ += truncated(product * unit_); }
  MORAY_FUNCTION void finish() {
    constexpr std::int32_t kKept = -(1 << (23 - kLimitedBits));
    const Real whole = Lanes::converted(sum_);  // exact: less than 2^24
    const Real kept = Lanes::real(Lanes::bits(whole) & kKept);
    value = kept * power(top_ - kLimitedBits) * power(exponent);
  }

 private:
  /// 2^n, n bounded to what is a normal number.
  MORAY_FUNCTION static Real power(Bits n) {
    const Bits field = n + 127;
    const Bits low = field < 1 ? Lanes::all(1) : field;
    return Lanes::real((low > 254 ? Lanes::all(254) : low) << 23);
  }
  MORAY_FUNCTION static Bits truncated(Real x) { return Lanes::truncated(x); }

  Bits top_;
  Real unit_;
  Bits sum_;
};

}  // namespace MORAY_FUNCTIONS_NAMESPACE
