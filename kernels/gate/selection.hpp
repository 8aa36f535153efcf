#pragma once

#include <cstdint>
#include <limits>

#include "core/kokkos.hpp"

/// Choosing the highest of a row, for the gate: the higher value first, ties to the lower index.
namespace moray {

/// NaN counts as -inf, so that every row has an order.
template <class Real>
KOKKOS_INLINE_FUNCTION Real or_lowest(Real value) {
  return value == value ? value : -std::numeric_limits<Real>::infinity();
}

/// The highest values seen so far, at most kCapacity, best first.
template <class Real, int kCapacity>
class Best {
 public:
  KOKKOS_INLINE_FUNCTION explicit Best(std::int64_t wanted) : wanted_(wanted) {}

  /// Offers the value of an index; indices come in increasing order, values are never NaN. An
  /// equal value comes after those that are there: a tie goes to the lower index.
  KOKKOS_INLINE_FUNCTION void offer(Real value, std::int64_t index) {
    if (count_ == wanted_ && !(value > value_[count_ - 1])) return;
    std::int64_t place = count_ < wanted_ ? count_++ : count_ - 1;
    for (; place > 0 && value > value_[place - 1]; --place) {
      value_[place] = value_[place - 1];
      index_[place] = index_[place - 1];
    }
    value_[place] = value;
    index_[place] = static_cast<std::int32_t>(index);
  }

  KOKKOS_INLINE_FUNCTION std::int64_t count() const { return count_; }
  KOKKOS_INLINE_FUNCTION std::int32_t index(std::int64_t place) const { return index_[place]; }

  /// Writes the indices in increasing order.
  KOKKOS_INLINE_FUNCTION void write_sorted(std::int32_t* sorted) const {
    for (std::int64_t i = 0; i < count_; ++i) {
      std::int64_t place = i;
      for (; place > 0 && sorted[place - 1] > index_[i]; --place) sorted[place] = sorted[place - 1];
      sorted[place] = index_[i];
    }
  }

 private:
  std::int64_t wanted_;
  std::int64_t count_ = 0;
  Real value_[kCapacity];
  std::int32_t index_[kCapacity];
};

}  // namespace moray
