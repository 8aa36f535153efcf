#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/row_exchange.hpp"
#include "core/arena.hpp"
#include "moe/expert_share.hpp"
#include "moe/route.hpp"

namespace moray {

/// A RowExchange of matrices in the memory of the backend, through host copies where MPI cannot read
/// that.
template <class Real>
class MatrixExchange {
 public:
  void start(const Communicator& ranks, Matrix<const Real> out,
             std::span<const std::int64_t> out_rows, Matrix<Real> in,
             std::span<const std::int64_t> in_rows);
  void finish();

 private:
  RowExchange exchange_;
  Matrix<Real> in_;
  std::vector<Real> host_out_, host_in_;  ///< device backends
};

/// The tokens of one micro-batch and layer on their way to the ranks that have their experts, and
/// what comes back: the flat all-to-all of an expert group. A token's row crosses once to each rank
/// that has one of its experts; what that rank adds up before it answers is a node of the expert
/// tree, so the bits are those of one rank (docs/numerics.md section 3). Each way has a start and a
/// finish, between which other work may run; the backward of dispatch is a combine, that of combine
/// a dispatch.
template <class Real>
class TokenTraffic {
 public:
  TokenTraffic() = default;
  /// Experts E of which each token chooses K; rows of `width` elements.
  TokenTraffic(Arena& arena, const ExpertShare& share, std::int64_t sequences, std::int64_t tokens,
               std::int64_t experts, std::int64_t top_k, std::int64_t width);

  /// Most choices of a token on one rank, and most ranks that it goes to.
  std::int64_t local_choices() const { return local_choices_; }
  std::int64_t fan_out() const { return fan_out_; }
  /// Tokens and rows that buffers are planned for.
  std::int64_t planned_tokens() const { return planned_tokens_; }
  std::int64_t planned_rows() const { return planned_rows_; }

  /// Says where each token goes, from selected (T, K) and weight (T, K). Adds to the loads (E).
  void plan(const ExecSpace& exec, const RowLayout& rows, Matrix<const std::int32_t> selected,
            Matrix<const Real> weight, std::span<std::int64_t> loads);
  /// Exchanges how many tokens and choices come from each sequence, and the choices themselves.
  /// Collective over the group. received() is then complete and buffers have room.
  void announce();
  const ReceivedTokens& received() const { return received_; }
  /// Bytes that announce() had to allocate.
  std::int64_t grown() const { return grown_; }
  /// Copies of own tokens that went out.
  std::int64_t sent() const { return sent_; }

  /// Rows of own tokens (T, D) to the ranks of their experts.
  void dispatch_start(const ExecSpace& exec, Matrix<const Real> tokens, const Rows<Real>& into);
  /// Waits; `into` then has received().tokens rows.
  void dispatch_finish() { rows_exchange_.finish(); }

  /// Sums (received().tokens, D) back to where the tokens came from, and with them the gradients of
  /// their routing weights (received().tokens, local_choices()), unless empty.
  void combine_start(const ExecSpace& exec, Matrix<const Real> sums, Matrix<const Real> dweights);
  /// Waits and adds what the ranks sent: out (T, D).
  void combine_finish(const ExecSpace& exec, Matrix<Real> out);
  /// dweight (T, K), after a combine that brought gradients.
  void collect_weights(const ExecSpace& exec, Matrix<Real> dweight) const;
  /// Room for sums, to be sent back: (received().tokens, D).
  Matrix<Real> sums() const { return sums_->first(received_.tokens); }
  Matrix<Real> dweights() const { return dweights_out_->first(received_.tokens); }

 private:
  ExpertShare share_;
  std::int64_t experts_ = 0, top_k_ = 0, local_choices_ = 0, fan_out_ = 0;
  std::int64_t planned_tokens_ = 0, planned_rows_ = 0;

  // Own tokens. Copies are counted over all destinations, in the order of shares.
  Vector<std::int32_t> copy_token_;  ///< (copies) the token
  Matrix<std::int32_t> shares_;      ///< (T, fan-out) shares that a token goes to, then -1
  Matrix<std::int32_t> copies_;      ///< (T, fan-out) its copies
  Vector<std::int32_t> choice_;      ///< (T K) place of a choice in (copies, local choices)
  std::int64_t sent_ = 0;
  std::vector<std::int64_t> sent_to_, received_from_;
  std::vector<std::int32_t> host_selected_, host_copy_token_, host_shares_, host_copies_,
      host_choice_;
  std::vector<Real> host_weight_;
  std::vector<std::int32_t> found_shares_;              ///< of each token, while copies are made
  std::vector<std::int32_t> counts_out_, counts_in_;    ///< per share, sequence: tokens, choices
  std::vector<std::int32_t> choices_out_, choices_in_;  ///< (copies, 2 k): experts, weights' bits

  ReceivedTokens received_;
  std::int64_t grown_ = 0;
  // Shared by all layers.
  Rows<Real> copies_out_, sums_, returned_;  ///< (copies, D), (received, D), (copies, D)
  Rows<Real> dweights_out_, dweights_in_;    ///< (received, k), (copies, k)
  RowExchange choices_exchange_;
  MatrixExchange<Real> rows_exchange_, weights_exchange_;
  bool with_weights_ = false;
};

}  // namespace moray
