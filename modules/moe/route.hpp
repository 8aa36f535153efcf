#pragma once

#include <cstdint>
#include <vector>

#include "core/arena.hpp"
#include "model/batch_layout.hpp"

namespace moray {

/// Where the rows of one micro-batch go in one MoE layer: T K rows sorted by (expert, local expert
/// lane, g, position), so that each (expert, lane) is one run of rows and its weight gradient one
/// piece of a chain (docs/numerics.md section 3). No token is dropped.
template <class Real>
class Route {
 public:
  Route() = default;
  Route(Arena& arena, std::int64_t sequences, std::int64_t tokens, std::int64_t experts,
        std::int64_t top_k);

  /// Builds the route from selected (T, K), in increasing expert index, and weight (T, K).
  void build(const ExecSpace& exec, const RowLayout& rows, Matrix<const std::int32_t> selected,
             Matrix<const Real> weight);

  /// Rows [begin, end) of an expert, of one segment of its lanes.
  struct Range {
    std::int64_t begin = 0;
    std::int64_t rows = 0;
  };
  Range expert_rows(std::int64_t expert) const;
  Range lane_rows(std::int64_t expert, std::int64_t segment) const;
  std::int64_t experts() const { return experts_; }

  /// (T K): the token of each row.
  Vector<const std::int32_t> source() const { return source_; }
  /// (T, K): the row of each choice.
  Matrix<const std::int32_t> row_of() const { return row_of_; }
  /// (T K): the routing weight of each row.
  Vector<const Real> weights() const { return weights_; }

  /// out (T, K) = per_row[row_of].
  void collect(const ExecSpace& exec, Vector<const Real> per_row, Matrix<Real> out) const;

 private:
  std::int64_t experts_ = 0;
  std::int64_t segments_ = 0;
  Vector<std::int32_t> source_;
  Matrix<std::int32_t> row_of_;
  Vector<Real> weights_;
  Vector<std::int32_t> order_;         ///< (b) stored sequences in expert order
  Vector<std::int64_t> boundaries_;    ///< (segments + 1) positions in order_
  Vector<std::int64_t> offsets_;       ///< (E, segments): counts, then first rows
  std::vector<std::int64_t> first_;    ///< host copy of the first rows, and the end
  std::vector<std::int64_t> staging_;  ///< host copy of boundaries
};

}  // namespace moray
