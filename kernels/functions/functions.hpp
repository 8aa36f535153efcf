#pragma once

#include "core/kokkos.hpp"
#include "kernels/functions/polynomials.hpp"

/// The functions of a step, usable in any kernel, on hosts and devices (docs/numerics/functions.md):
///
///   float exp_exact(float), log_exact(float)   correctly rounded, for every argument
///   float sin_exact(float), cos_exact(float)   correctly rounded for |x| < 2^24, NaN beyond
///   double exp_exact(double), log_exact(double), sin_exact(double), cos_exact(double)
///       for scalars of a step (schedules, initialisation, YaRN) and the float64 instantiation of
///       the portable kernels: defined by their polynomial, within 1e-15 relative; sin and cos for
///       |x| < 2^24, NaN beyond
///   double power(double x, uint64 n)           x^n by binary multiplication from the lowest bit
///
/// Evaluated in float64 with fixed polynomials, never by libm, so that every compiler and processor
/// gives the same bits. They are defined in polynomials.hpp, which host micro-kernels include too.
/// exp(+inf) = inf, exp(-inf) = +0, log(0) = -inf, log(x < 0) = NaN, and a NaN stays a NaN (its
/// sign and payload are not defined).
namespace moray {

/// 1 / (1 + exp(-x)), each operation rounded.
template <class Real>
KOKKOS_INLINE_FUNCTION Real sigmoid_exact(Real x) {
  return Real(1) / (Real(1) + exp_exact(-x));
}

/// x sigmoid(x).
template <class Real>
KOKKOS_INLINE_FUNCTION Real silu_exact(Real x) {
  return x * sigmoid_exact(x);
}

/// The derivative of silu from x and s = sigmoid(x): s (1 + x (1 - s)).
template <class Real>
KOKKOS_INLINE_FUNCTION Real dsilu_exact(Real x, Real s) {
  return s * (Real(1) + x * (Real(1) - s));
}

}  // namespace moray
