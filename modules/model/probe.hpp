#pragma once

#include <cstdint>

#include "core/matrix.hpp"
#include "model/batch_layout.hpp"
#include "model/parameters.hpp"

namespace moray {

template <class Real>
class Model;
template <class Real>
class Route;

/// Is shown what a pass computes, as it is formed, so that a difference of bits can be traced to the
/// operation that made it (docs/numerics.md section 8). Normal runs have none: a stage then costs
/// one test of a pointer. Kernels may still be running when a method is called: fence before reading.
template <class Real>
class Probe {
 public:
  virtual ~Probe() = default;

  /// Where the stages that follow are: a layer (MTP modules after the trunk's), or, with index -1, the
  /// head or the end of the trunk.
  virtual void enter(const char* place, std::int64_t index, const BatchLayout& batch) = 0;
  /// Rows [first, first + values.rows) of a tensor of `total` rows, as many of each stored sequence.
  virtual void rows(const char* stage, Matrix<const Real> values, std::int64_t first,
                    std::int64_t total) = 0;
  /// (T, K) experts of each token.
  virtual void choices(const char* stage, Matrix<const std::int32_t> values) = 0;
  /// (T K, .) rows in the order of a route.
  virtual void expert_rows(const char* stage, const Route<Real>& route,
                           Matrix<const Real> values) = 0;
  /// Gradients of a step, each lane of this rank, before they are folded.
  virtual void lanes(Model<Real>& model) = 0;
  /// Where a fold of lanes is: `lanes` are left, these are elements [first, first + size) of lane
  /// `lane` of a region's gradients or, with `use` above 0, of that use of the embedding.
  struct Fold {
    Region region;
    std::int64_t use;
    std::int64_t lanes;
    std::int64_t lane;
    std::int64_t first;
  };
  virtual void folded(const Fold& fold, Vector<const Real> values) = 0;
};

}  // namespace moray
