#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/checkpoint_reader.hpp"

namespace moray {

/// How two tensors of one name, shape and dtype differ.
struct TensorDifference {
  std::string name;
  Dtype dtype = Dtype::float32;
  std::vector<std::int64_t> shape;
  std::int64_t elements = 0;
  std::int64_t different = 0;   ///< elements whose bits differ
  std::int64_t not_finite = 0;  ///< of these, where a - b is not finite
  double max = 0;               ///< largest |a - b|, where finite
  double norm = 0;              ///< Euclidean norm of a - b, where finite
  double norm_a = 0;            ///< that of a, where a - b is finite

  bool equal() const { return different == 0; }
  /// norm / norm_a; 0 if nothing differs, not finite if only a is 0.
  double relative() const { return norm == 0 ? 0 : norm / norm_a; }
};

/// A tensor that both have under one name, with another shape or dtype.
struct Mismatch {
  DatasetSpec a, b;
};

struct CheckpointDifference {
  std::vector<TensorDifference> tensors;  ///< in the order of a
  std::vector<Mismatch> mismatches;
  std::vector<DatasetSpec> only_a, only_b;

  /// True if both hold the same tensors with the same bits.
  bool equal() const;
};

/// Compares the tensors whose names `chosen` accepts, block by block, each block of both with its
/// digest checked. Attributes and texts (steps, decks, dates) are not compared. Serial; throws
/// DamagedCheckpoint.
CheckpointDifference compare_checkpoints(const Checkpoint& a, const Checkpoint& b,
                                         const std::function<bool(const std::string&)>& chosen);

}  // namespace moray
