#pragma once

#include <array>
#include <cstdint>

namespace moray {

/// A sum of float64 values without rounding: a fixed-point number of 32-bit digits held in int64
/// limbs, so that no order of additions is left to define (docs/numerics.md, norms and losses).
///
/// Every finite float64 lies between 2^-1074 and 2^1024: 67 digits of 32 bits. Limbs are int64 and
/// may be added across ranks as integers (MPI_SUM); 2^30 values fit before a limb could overflow,
/// and `normalize()` empties them. `value()` rounds once, to nearest even.
class ExactSum {
 public:
  static constexpr int kLimbs = 68;

  /// Adds a finite value; a value that is not finite is counted and makes value() NaN.
  void add(double value);
  void add(const ExactSum& other);
  /// Carries, so that each limb is again in [0, 2^32) but the highest, which keeps the sign.
  void normalize();
  /// The exact sum rounded once to the nearest float64, ties to even.
  double value() const;

  /// For an all-reduce as integers: kLimbs limbs, then the count of values that were not finite.
  std::int64_t* data() { return limbs_.data(); }
  static constexpr int kWords = kLimbs + 1;

 private:
  std::array<std::int64_t, kWords> limbs_{};
  std::int64_t pending_ = 0;
};

}  // namespace moray
