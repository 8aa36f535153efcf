#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/arena.hpp"
#include "kernels/quantize/quantize.hpp"
#include "model/batch_layout.hpp"
#include "moe/hop.hpp"

namespace moray {

/// Where the rows of one micro-batch go in one MoE layer: rows sorted by (expert, local expert lane,
/// g, position), so that each (expert, lane) is one run of rows and its weight gradient one piece of
/// a chain (docs/numerics.md section 3). No token is dropped.
///
/// Rows are those of this rank's experts: T K of its own tokens where it has all experts, else
/// however many arrived.
template <class Real>
class Route {
 public:
  Route() = default;
  /// `experts` local ones of a rank that has all: room for exactly T K rows.
  Route(Arena& arena, std::int64_t sequences, std::int64_t tokens, std::int64_t experts,
        std::int64_t top_k);
  /// For received tokens: planned for so many tokens and rows, of at most `choices` a token.
  Route(Arena& arena, std::int64_t first_expert, std::int64_t experts, std::int64_t tokens,
        std::int64_t rows, std::int64_t choices);

  /// Builds the route from selected (T, K), in increasing expert index, and weight (T, K).
  void build(const ExecSpace& exec, const RowLayout& rows, Matrix<const std::int32_t> selected,
             Matrix<const Real> weight);
  /// Builds the route of tokens that came from the ranks of the group; `sequences` says which
  /// sequence of the group each of theirs is. Returns the bytes that had to
  /// be allocated because more came than was planned for.
  std::int64_t build(const BatchLayout& batch, const ChosenTokens& received,
                     std::span<const std::int32_t> sequences);

  /// Rows [begin, end) of an expert, of one segment of its lanes.
  struct Range {
    std::int64_t begin = 0;
    std::int64_t rows = 0;
  };
  /// Experts are counted from first_expert().
  Range expert_rows(std::int64_t expert) const;
  Range lane_rows(std::int64_t expert, std::int64_t segment) const;
  std::int64_t experts() const { return experts_; }
  std::int64_t first_expert() const { return first_expert_; }
  std::int64_t rows() const { return first_.back(); }

  /// (rows): the token of each row, own or received.
  Vector<const std::int32_t> source() const { return {source_->first(1).data, rows()}; }
  /// (T, K) local experts of each token.
  Matrix<const std::int32_t> selected() const { return selected_; }
  /// (T, K): the row of each choice.
  Matrix<const std::int32_t> row_of() const { return row_of_; }
  /// (rows): the routing weight of each row.
  Vector<const Real> weights() const { return {weights_->first(1).data, rows()}; }
  /// g of a token, own or received.
  std::int64_t sequence(std::int64_t token) const;

  /// The blocks of 128 x 1 scales of all rows, in their order: anew for each expert and sequence.
  /// `first` gets the first block of each (expert, segment), and the end. Host work; fence first.
  void row_blocks(std::vector<RowBlock>& blocks, std::vector<std::int64_t>& first) const;

  /// out (T, K) = per_row[row_of]; +0 where a token has no choice.
  void collect(const ExecSpace& exec, Vector<const Real> per_row, Matrix<Real> out) const;

 private:
  std::int64_t experts_ = 0;
  std::int64_t first_expert_ = 0;
  std::int64_t segments_ = 0;
  Rows<std::int32_t> source_;            ///< one element a row
  Rows<Real> weights_;                   ///< one element a row
  Rows<std::int32_t> choice_rows_;       ///< (T, K) memory of row_of
  Rows<std::int32_t> received_experts_;  ///< (T, K) memory of selected, for received tokens
  Matrix<const std::int32_t> selected_;
  Matrix<std::int32_t> row_of_;
  Vector<std::int32_t> order_;          ///< (b) stored sequences in expert order
  Vector<std::int64_t> boundaries_;     ///< (segments + 1) positions in order_
  Vector<std::int64_t> offsets_;        ///< (E, segments): counts, then first rows
  std::vector<std::int64_t> first_{0};  ///< host copy of the first rows, and the end
  std::vector<std::int64_t> staging_;   ///< host copy of boundaries
  RowLayout own_;                       ///< of own tokens
  std::vector<std::int64_t> begin_of_, next_, received_as_;  ///< while a route is built
  std::vector<std::int64_t> received_sequence_;              ///< g of each received token
  mutable std::vector<std::int32_t> host_source_;            ///< also while blocks are made
  std::vector<std::int32_t> host_row_of_;
  std::vector<Real> host_weights_;
};

}  // namespace moray
