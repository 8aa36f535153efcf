#pragma once

#include <cstdint>

#include "core/function.hpp"

/// The arithmetic of kernels/functions: docs/numerics/functions.md, line by line.
/// Host micro-kernels include it too: see core/function.hpp.
namespace MORAY_FUNCTIONS_NAMESPACE {

/// a b + c with one rounding.
MORAY_FUNCTION double fused(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __fma_rn(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}
MORAY_FUNCTION float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

/// The square root, correctly rounded.
MORAY_FUNCTION double square_root(double x) {
#if defined(__CUDA_ARCH__)
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}
MORAY_FUNCTION float square_root(float x) {
#if defined(__CUDA_ARCH__)
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

MORAY_FUNCTION std::uint32_t float_bits(float x) {
  return __builtin_bit_cast(std::uint32_t, x);
}
MORAY_FUNCTION float float_of(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}
MORAY_FUNCTION std::uint64_t double_bits(double x) {
  return __builtin_bit_cast(std::uint64_t, x);
}
MORAY_FUNCTION double double_of(std::uint64_t bits) {
  return __builtin_bit_cast(double, bits);
}

/// x + kRound - kRound is x rounded to an integer, |x| < 2^51; the low bits of x + kRound are that
/// integer in two's complement.
constexpr double kRound = 0x1.8p52;

constexpr float kInfinity = __builtin_inff();
constexpr float kNotANumber = __builtin_nanf("");

// ---- exp -------------------------------------------------------------------------------------

constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // a multiple of 2^-42: n kLn2High is exact
constexpr double kLn2Low = 0x1.ef35793c76730p-45;

constexpr double kExp3 = 0x1.555555555554fp-3;
constexpr double kExp4 = 0x1.555555555374ap-5;
constexpr double kExp5 = 0x1.11111111129c0p-7;
constexpr double kExp6 = 0x1.6c16c17bbedc5p-10;
constexpr double kExp7 = 0x1.a01a019ca4e94p-13;
constexpr double kExp8 = 0x1.a019acce8b612p-16;
constexpr double kExp9 = 0x1.71de25ff124f5p-19;
constexpr double kExp10 = 0x1.289f20c568083p-22;
constexpr double kExp11 = 0x1.af13e65ff9142p-26;

/// Below kExpMin the float32 is +0, above kExpMax it is infinite: results are not changed by
/// moving arguments onto these, and exponents then stay within a normal float64.
constexpr float kExpMin = -104.0f;
constexpr float kExpMax = 89.0f;

/// exp(x) = mantissa 2^n for |x| < 750, mantissa in [0.70, 1.42].
struct ExpParts {
  double mantissa;
  double shifted;  // kRound + n
};
MORAY_FUNCTION ExpParts exp_parts(double x) {
  const double shifted = fused(x, kLog2E, kRound);
  const double n = shifted - kRound;
  const double r = fused(-n, kLn2Low, fused(-n, kLn2High, x));
  const double z = r * r;
  const double even = fused(fused(fused(fused(kExp10, z, kExp8), z, kExp6), z, kExp4), z, 0.5);
  const double odd = fused(fused(fused(fused(kExp11, z, kExp9), z, kExp7), z, kExp5), z, kExp3);
  return {1.0 + fused(z, fused(odd, r, even), r), shifted};
}

/// The correctly rounded float32 of exp(x), for every x.
MORAY_FUNCTION float exp_exact(float x) {
  x = x > kExpMax ? kExpMax : x;
  x = x < kExpMin ? kExpMin : x;
  const ExpParts e = exp_parts(static_cast<double>(x));
  // Adds n to the exponent; the one rounding to float32, denormal or not, is the conversion.
  return static_cast<float>(double_of(double_bits(e.mantissa) + (double_bits(e.shifted) << 52)));
}

MORAY_FUNCTION double exp_exact(double x) {
  if (!(x < 710.0)) return x > 0 ? static_cast<double>(kInfinity) : x;
  if (x < -746.0) return 0.0;
  const ExpParts e = exp_parts(x);
  const auto n = static_cast<std::int64_t>(e.shifted - kRound);
  const std::int64_t half = n / 2;  // towards zero; two factors, since 2^n may not be a float64
  const double first = double_of(static_cast<std::uint64_t>(1023 + half) << 52);
  const double second = double_of(static_cast<std::uint64_t>(1023 + (n - half)) << 52);
  return (e.mantissa * first) * second;
}

// ---- log -------------------------------------------------------------------------------------

constexpr double kLog3 = 0x1.5555555555555p-1;
constexpr double kLog5 = 0x1.9999999999cf7p-2;
constexpr double kLog7 = 0x1.2492492437b49p-2;
constexpr double kLog9 = 0x1.c71c725128d4bp-3;
constexpr double kLog11 = 0x1.745cdf1c0dd7fp-3;
constexpr double kLog13 = 0x1.3b20b63c8d8aap-3;
constexpr double kLog15 = 0x1.0f588a6295c67p-3;
constexpr double kLog17 = 0x1.0fa071b066196p-3;

/// log(x) = k ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2 + f):
/// log(1 + f) = 2 atanh(s) = f - s (f - R), R = s^2 (2/3 + 2/5 s^2 + ...).
MORAY_FUNCTION double log_exact(double x) {
  if (!(x > 0)) return x == 0 ? -static_cast<double>(kInfinity) : static_cast<double>(kNotANumber);
  if (!(x < static_cast<double>(kInfinity))) return x;
  std::int64_t k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  constexpr std::uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;  // float64 nearest sqrt(1/2)
  const std::uint64_t above = double_bits(x) - kSqrtHalf;
  const std::int64_t exponent = static_cast<std::int64_t>(above) >> 52;
  k += exponent;
  const double f = double_of(double_bits(x) - (static_cast<std::uint64_t>(exponent) << 52)) - 1.0;
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double w = z * z;
  const double even = fused(fused(fused(kLog15, w, kLog11), w, kLog7), w, kLog3);
  const double odd = fused(fused(fused(kLog17, w, kLog13), w, kLog9), w, kLog5);
  const double series = fused(odd, z, even) * z;
  const auto n = static_cast<double>(k);
  return fused(n, kLn2High, f + fused(s, series - f, n * kLn2Low));
}

/// The correctly rounded float32 of log(x), for every x. The listed arguments lie so close to a
/// midpoint of two float32 that the float64 above rounds to the wrong one.
MORAY_FUNCTION float log_exact(float x) {
  switch (float_bits(x)) {
    case 0x3c413d3au:
      return float_of(0xc08e158fu);
    case 0x41178febu:
      return float_of(0x400fe5e7u);
    case 0x4c5d65a5u:
      return float_of(0x418f034bu);
    case 0x65d890d3u:
      return float_of(0x4254d1f9u);
    case 0x6f31a8ecu:
      return float_of(0x42845a89u);
    default:
      return static_cast<float>(log_exact(static_cast<double>(x)));
  }
}

// ---- sin and cos -----------------------------------------------------------------------------

constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kHalfPi1 = 0x1.921fb54442d18p+0;   // a multiple of 2^-50
constexpr double kHalfPi2 = 0x1.1a62634000000p-54;  // a multiple of 2^-80
constexpr double kHalfPi3 = -0x1.d747f23e32ed7p-83;

constexpr double kSin3 = -0x1.5555555555555p-3;
constexpr double kSin5 = 0x1.111111111110cp-7;
constexpr double kSin7 = -0x1.a01a01a018c6ep-13;
constexpr double kSin9 = 0x1.71de3a5344500p-19;
constexpr double kSin11 = -0x1.ae645292bf51cp-26;
constexpr double kSin13 = 0x1.612086077b40dp-33;
constexpr double kSin15 = -0x1.aa9b9e5d3d434p-41;

constexpr double kCos4 = 0x1.5555555555555p-5;
constexpr double kCos6 = -0x1.6c16c16c16c15p-10;
constexpr double kCos8 = 0x1.a01a01a01975ap-16;
constexpr double kCos10 = -0x1.27e4fb7694661p-22;
constexpr double kCos12 = 0x1.1eed8d40c91afp-29;
constexpr double kCos14 = -0x1.9393dc88a4f9ep-37;
constexpr double kCos16 = 0x1.ab09dcbabc691p-45;

/// sin(x + quarter pi / 2) for 0 <= x < 2^24; NaN for any other x.
MORAY_FUNCTION double sin_quarters(double x, std::uint64_t quarter) {
  if (!(x < 0x1p24)) return static_cast<double>(kNotANumber);
  const double shifted = fused(x, kTwoOverPi, kRound);
  const double n = shifted - kRound;
  const double first = fused(-n, kHalfPi1, x);  // exact
  const double second = n * kHalfPi2;           // exact
  const double high = first - second;
  const double back = high - first;
  const double lost = (first - (high - back)) - (second + back);
  const double r = high + fused(-n, kHalfPi3, lost);
  const double z = r * r;
  quarter += double_bits(shifted);
  double value;
  if ((quarter & 1) == 0) {
    double p = fused(kSin15, z, kSin13);
    p = fused(p, z, kSin11);
    p = fused(p, z, kSin9);
    p = fused(p, z, kSin7);
    p = fused(p, z, kSin5);
    p = fused(p, z, kSin3);
    value = fused(r * z, p, r);
  } else {
    double p = fused(kCos16, z, kCos14);
    p = fused(p, z, kCos12);
    p = fused(p, z, kCos10);
    p = fused(p, z, kCos8);
    p = fused(p, z, kCos6);
    p = fused(p, z, kCos4);
    value = fused(z, fused(p, z, -0.5), 1.0);
  }
  return (quarter & 2) == 0 ? value : -value;
}

MORAY_FUNCTION double cos_exact(double x) {
  return sin_quarters(x < 0 ? -x : x, 1);
}
MORAY_FUNCTION double sin_exact(double x) {
  const std::uint64_t sign = double_bits(x) & (std::uint64_t{1} << 63);
  return double_of(double_bits(sin_quarters(double_of(double_bits(x) ^ sign), 0)) ^ sign);
}

/// The correctly rounded float32 of sin(x) and cos(x) for |x| < 2^24; NaN beyond.
MORAY_FUNCTION float sin_exact(float x) {
  switch (float_bits(x)) {  // as for log
    case 0x46199998u:
      return float_of(0xbeb1fa5du);
    case 0xc6199998u:
      return float_of(0x3eb1fa5du);
    default:
      return static_cast<float>(sin_exact(static_cast<double>(x)));
  }
}
MORAY_FUNCTION float cos_exact(float x) {
  return static_cast<float>(cos_exact(static_cast<double>(x)));
}

/// x^n by binary multiplication from the lowest bit.
MORAY_FUNCTION double power(double x, std::uint64_t n) {
  double result = 1.0;
  for (; n != 0; n >>= 1) {
    if ((n & 1) != 0) result = result * x;
    x = x * x;
  }
  return result;
}

}  // namespace MORAY_FUNCTIONS_NAMESPACE
