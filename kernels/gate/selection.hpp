#pragma once

#include <cstdint>
#include <limits>

#include "core/kokkos.hpp"

/// Choosing the highest of a row without sorting and without scratch memory, for the gate.
namespace moray {

/// A value and where it is. The order of choice: the higher value first, ties to the lower index.
template <class Real>
struct Candidate {
  Real value;
  std::int64_t index;
};

template <class Real>
KOKKOS_INLINE_FUNCTION bool comes_before(const Candidate<Real>& a, const Candidate<Real>& b) {
  return a.value > b.value || (a.value == b.value && a.index < b.index);
}

/// NaN counts as -inf, so that every row has an order.
template <class Real>
KOKKOS_INLINE_FUNCTION Real or_lowest(Real value) {
  return value == value ? value : -std::numeric_limits<Real>::infinity();
}

/// The candidate at place `count` (from 1) in the order of choice of value(i), i in [0, n), never
/// NaN; 1 <= count <= n. Exactly `count` candidates do not come after it.
template <class Real, class Value>
KOKKOS_INLINE_FUNCTION Candidate<Real> last_chosen(std::int64_t n, std::int64_t count,
                                                   const Value& value) {
  constexpr Real infinity = std::numeric_limits<Real>::infinity();
  Candidate<Real> last = {infinity, -1};  // before every candidate
  for (std::int64_t place = 0; place < count; ++place) {
    Candidate<Real> next = {-infinity, n};  // after every candidate
    for (std::int64_t i = 0; i < n; ++i) {
      const Candidate<Real> candidate = {value(i), i};
      if (comes_before(last, candidate) && comes_before(candidate, next)) next = candidate;
    }
    last = next;
  }
  return last;
}

}  // namespace moray
