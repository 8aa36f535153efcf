#pragma once

#include <cstdint>

#include "core/kokkos.hpp"
#include "kernels/functions/polynomials.hpp"

/// Row reductions for portable kernels, docs/numerics.md section 3: 16 chains from +0, element i in
/// chain i mod 16, folded by i += i + 8, i + 4, i + 2, i + 1; never -0.
namespace moray {

inline constexpr int kRowChains = 16;

/// Folds the 16 chains in place and returns their sum.
template <class Real>
KOKKOS_INLINE_FUNCTION Real fold_row_chains(Real (&chain)[kRowChains]) {
  for (int width = kRowChains / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) chain[i] = chain[i] + chain[i + width];
  }
  return chain[0] + Real(0);
}

/// chain_i = step(i, chain_i) over i in [0, n), for the two forms below.
template <class Real, class Step>
KOKKOS_INLINE_FUNCTION Real row_reduction(std::int64_t n, const Step& step) {
  Real chain[kRowChains] = {};
  std::int64_t begin = 0;
  for (; begin + kRowChains <= n; begin += kRowChains) {
    for (int i = 0; i < kRowChains; ++i) chain[i] = step(begin + i, chain[i]);
  }
  for (int i = 0; begin + i < n; ++i) chain[i] = step(begin + i, chain[i]);
  return fold_row_chains(chain);
}

/// The row reduction of a(i) b(i), i in [0, n): chains of fma(a_i, b_i, c). For a b c pass the
/// rounded (a b) as one factor.
template <class Real, class A, class B>
KOKKOS_INLINE_FUNCTION Real row_product_sum(std::int64_t n, const A& a, const B& b) {
  return row_reduction<Real>(
      n, [&](std::int64_t i, Real c) { return fused(Real(a(i)), Real(b(i)), c); });
}

/// The row reduction of term(i), i in [0, n): chains of c + term_i.
template <class Real, class Term>
KOKKOS_INLINE_FUNCTION Real row_sum(std::int64_t n, const Term& term) {
  return row_reduction<Real>(n, [&](std::int64_t i, Real c) { return c + Real(term(i)); });
}

/// The maximum of value(i), i in [0, n), n >= 1: +0 where it is a zero of either sign, so that no
/// order of comparisons shows.
template <class Real, class Value>
KOKKOS_INLINE_FUNCTION Real row_max(std::int64_t n, const Value& value) {
  Real best = value(0);
  for (std::int64_t i = 1; i < n; ++i) best = value(i) > best ? value(i) : best;
  return best + Real(0);
}

}  // namespace moray
