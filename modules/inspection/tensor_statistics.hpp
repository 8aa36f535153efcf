#pragma once

#include <vector>

#include "io/checkpoint_reader.hpp"

namespace moray {

/// What the values of a tensor look like. Values that are not finite count apart and nowhere else.
struct TensorStatistics {
  static constexpr std::int64_t kFirst = 4;
  std::int64_t elements = 0;
  std::int64_t not_finite = 0;
  double norm = 0;  ///< Euclidean
  double min = 0;
  double max = 0;
  std::vector<double> first;  ///< the first kFirst values as they are
};

/// Reads a dataset of a checkpoint once, a block at a time, each with its digest checked. Serial;
/// throws DamagedCheckpoint.
TensorStatistics tensor_statistics(const Checkpoint& checkpoint, const DatasetSpec& spec);

}  // namespace moray
