#pragma once

#include <cstdint>

#include "io/checkpoint_reader.hpp"
#include "kernels/quantize/quantize_rule.hpp"

namespace moray {

/// What FP8 with a scale for each block of 128 x 128 makes of a weight, docs/fp8.md section 2: x are
/// its finite float32 values, y what code and scale stand for.
struct Fp8Error {
  bool stored = false;    ///< codes and scales are those of the checkpoint, else made here
  bool compared = false;  ///< float32 values are there too; else only the scales are known
  double least_scale = 0;
  double largest_scale = 0;
  std::int64_t not_finite = 0;  ///< x or y; such values count nowhere else
  double relative_rms = 0;      ///< |x - y| / |x|
  double calc_diff = 0;         ///< 1 - 2 <x, y> / (<x, x> + <y, y>)
  /// The block with the largest |x - y| / |x|.
  struct {
    std::int64_t expert = 0, row = 0, column = 0;  ///< of blocks; expert 0 where there are none
    double relative_rms = 0;
  } worst;
};

/// Of `weight` (is_matrix), a dataset that the checkpoint holds in float32, in FP8 or in both; where
/// it has no codes, quantised by `rule`. Reads 128 rows at a time; uses neither Kokkos nor MPI.
/// Error(io) if codes and scales do not fit the weight.
Fp8Error fp8_error(const Checkpoint& checkpoint, const DatasetSpec& weight, ScaleRule rule);

}  // namespace moray
