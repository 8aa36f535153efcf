#pragma once

#include <cstdint>
#include <vector>

#include "kernels/functions/functions.hpp"

/// What the self check computes with; shared by its host and backend parts.
namespace moray {

inline constexpr std::int64_t kCheckArguments = 2048;

struct CheckArguments {
  std::vector<float> any;       ///< every kind of float32, the table entries of log and sin first
  std::vector<float> moderate;  ///< either sign, 2^-20 to 2^6
  std::vector<float> angle;     ///< either sign, below 2^24 in magnitude
};
/// Made by integer arithmetic at run time, so that no compiler can evaluate the check beforehand.
CheckArguments check_arguments();

inline constexpr int kFloatFunctions = 8;

/// Every defined function of a float32, into kFloatFunctions results.
KOKKOS_INLINE_FUNCTION void float_functions(float x, float angle, float* result) {
  const float s = sigmoid_exact(x);
  result[0] = exp_exact(x);
  result[1] = log_exact(x);
  result[2] = log_exact(__builtin_fabsf(x));
  result[3] = s;
  result[4] = silu_exact(x);
  result[5] = dsilu_exact(x, s);
  result[6] = sin_exact(angle);
  result[7] = cos_exact(angle);
}
inline constexpr std::uint64_t kFloatFunctionsDigest = 0xe711f9380eab73c3u;

/// XXH3 of the results, every NaN as one pattern.
std::uint64_t digest_of(const std::vector<float>& values);

}  // namespace moray
