#pragma once

#include "core/kokkos.hpp"

namespace moray {

/// exp and log of a float32, correctly rounded; sin and cos likewise for |x| < 2^24
/// (docs/numerics.md section 4). Evaluated in float64 with fixed polynomials, never by libm, so
/// that every compiler and processor gives the same bits. Usable in any kernel.
KOKKOS_FUNCTION float exp_exact(float x);
KOKKOS_FUNCTION float log_exact(float x);
float sin_exact(float x);
float cos_exact(float x);

/// Float64 functions for scalars of a step (schedules, initialisation, YaRN) and for the float64
/// instantiation of the portable kernels: defined by their polynomial, within 1e-15 relative.
KOKKOS_FUNCTION double exp_exact(double x);
KOKKOS_FUNCTION double log_exact(double x);
double cos_exact(double x);
double sin_exact(double x);
/// x^n by binary multiplication from the lowest bit.
double power(double x, std::uint64_t n);

}  // namespace moray
