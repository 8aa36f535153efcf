#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/row_exchange.hpp"
#include "core/arena.hpp"
#include "kernels/permute/permute.hpp"

namespace moray {

/// Tokens and the experts that they chose among those of one rank or node, on the host. Tokens of a
/// sequence follow each other.
struct ChosenTokens {
  std::int64_t choices = 0;                   ///< k: at most, of a token
  std::int64_t tokens = 0;                    ///< n
  std::vector<std::int64_t> sequence_tokens;  ///< tokens of each sequence
  std::vector<std::int32_t> experts;  ///< (n, k) increasing, counted from the first there; then -1
  std::vector<float> weights;         ///< (n, k)
  /// (sequences, experts) choices.
  std::vector<std::int64_t> rows_of_expert;
};

/// A RowExchange of dense rows in the memory of the backend, through host copies where MPI cannot read
/// that. It keeps the pins of its buffers until it has finished.
class MatrixExchange {
 public:
  void start(const Communicator& ranks, Matrix<const std::byte> out,
             std::span<const std::int64_t> out_rows, Matrix<std::byte> in,
             std::span<const std::int64_t> in_rows, RowPin from, RowPin to);
  void finish();

 private:
  RowExchange exchange_;
  RowPin from_, to_;
  Matrix<std::byte> in_;
  std::vector<std::byte> host_out_, host_in_;  ///< device backends
};

/// What a hop is planned for.
struct HopPlan {
  std::int64_t shares = 1;     ///< ranks of the hop; each has the same number of experts
  std::int64_t share = 0;      ///< of this rank
  std::int64_t experts = 0;    ///< of all of them
  std::int64_t choices = 0;    ///< of a token
  std::int64_t sequences = 0;  ///< whose tokens start here
  std::int64_t tokens = 0;     ///< that start here, at most as planned
  std::int64_t mean_in = 0;    ///< tokens that arrive on average when experts are even
  std::int64_t most_in = 0;    ///< that can arrive
  std::int64_t width = 0;      ///< numbers of a row of sums
  std::int64_t row_bytes = 0;  ///< of a dispatched row, at most
  bool low = false;            ///< some sums are sent as bf16
  double headroom = 1.5;
  const char* name = "";  ///< buffers of hops with the same name are shared
};

/// Tokens to the ranks of a communicator that have experts of them, one copy to each, and the way
/// back, where the copies' rows are added along the tree of halving over the ranks. Flat traffic is
/// one hop over an expert group, node-limited traffic a hop over nodes and one inside.
template <class Real>
class Hop {
 public:
  Hop() = default;
  Hop(Arena& arena, const HopPlan& plan);

  std::int64_t planned_in() const { return planned_in_; }
  /// Choices of an arriving token, at most.
  std::int64_t local_choices() const { return local_choices_; }

  /// Says where each token goes.
  void plan(const ChosenTokens& tokens);
  /// Exchanges how many tokens and choices come from each sequence, and the choices themselves.
  /// Collective. received() is then complete.
  void announce(const Communicator& ranks);
  /// Experts are counted from this rank's first; sequences by sending rank, then as they were there.
  const ChosenTokens& received() const { return received_; }
  /// Bytes that were allocated since plan() because more came than was planned for.
  std::int64_t grown() const { return grown_; }
  /// Copies to each rank.
  std::span<const std::int64_t> sent_to() const { return sent_to_; }

  /// Rows of tokens (n bytes each) to the ranks of their experts: `into`, of rows as long, then has
  /// received().tokens rows.
  void dispatch_start(const ExecSpace& exec, Matrix<const std::byte> tokens,
                      const Rows<std::byte>& into);
  void dispatch_finish() { rows_exchange_.finish(); }
  /// Rows (received().tokens, D) back to where the tokens came from, and with them the gradients of
  /// their routing weights (received().tokens, local_choices()), if `with_weights`: the first of these
  /// buffers. Sums that are bf16 values are sent as such.
  void combine_start(const ExecSpace& exec, const Rows<Real>& sums, const Rows<Real>& dweights,
                     bool with_weights, TreeSums rounding);
  /// Waits and adds what the ranks sent: out (n, D), dweights (n, choices) unless none came.
  void combine_finish(const ExecSpace& exec, Matrix<Real> out, Matrix<Real> dweights);

 private:
  HopPlan plan_;
  std::int64_t local_choices_ = 0, fan_out_ = 0, planned_in_ = 0;
  const Communicator* ranks_ = nullptr;

  // Outgoing. Copies are counted over all destinations, in the order of ranks.
  std::int64_t tokens_ = 0, copies_ = 0;
  Rows<std::int32_t> copy_token_;  ///< (copies, 1) the token
  Rows<std::int32_t> ranks_of_;    ///< (n, fan-out) ranks that a token goes to, then -1
  Rows<std::int32_t> copies_of_;   ///< (n, fan-out) its copies
  Rows<std::int32_t> choice_;  ///< (n, choices) place of a choice in (copies, local choices), or -1
  std::vector<std::int64_t> sent_to_, received_from_;
  std::vector<std::int32_t> host_copy_token_, host_ranks_, host_copies_, host_choice_;
  std::vector<std::int64_t> next_;                    ///< copy to each rank, while copies are made
  std::vector<std::int32_t> counts_out_, counts_in_;  ///< per rank, sequence: tokens, choices
  std::vector<std::int32_t> choices_out_, choices_in_;  ///< (copies, 2 k): experts, weights' bits

  ChosenTokens received_;
  std::int64_t grown_ = 0;
  Rows<std::byte> rows_out_;                       ///< (copies, row bytes), shared
  Rows<Real> returned_;                            ///< (copies, D), shared
  Rows<std::uint16_t> sums_out_, returned_codes_;  ///< (., D) sums in bf16, shared
  Rows<Real> dweights_in_;                         ///< (copies, local choices), shared
  RowExchange choices_exchange_;
  MatrixExchange rows_exchange_, weights_exchange_;
  bool with_weights_ = false;
  TreeSums rounding_ = TreeSums::exact;
};

}  // namespace moray
