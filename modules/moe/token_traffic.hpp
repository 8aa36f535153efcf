#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moe/expert_share.hpp"
#include "moe/hop.hpp"
#include "moe/route.hpp"
#include "moe/row_format.hpp"

namespace moray {

/// Copies of tokens that go to other nodes, to other ranks of the same node, and that stay on their
/// rank.
struct TokenCopies {
  std::int64_t across = 0;
  std::int64_t inside = 0;
  std::int64_t kept = 0;
  void add(const TokenCopies& other) {
    across += other.across;
    inside += other.inside;
    kept += other.kept;
  }
  friend bool operator==(const TokenCopies&, const TokenCopies&) = default;
};

/// What the selection (T, K) of a rank's tokens costs, wherever the copies are made: the prediction
/// that the sum of copies() over a group meets exactly. `share` says who the rank is.
TokenCopies predicted_copies(const ExpertShare& share, std::int64_t experts, std::int64_t top_k,
                             std::span<const std::int32_t> selected);

/// The tokens of one micro-batch and layer on their way to the ranks that have their experts, and
/// what comes back. Flat: a token's row crosses once to each rank that has one of its experts. With
/// two hops (DeepSeek-V3 report, section 3.2.2) it crosses to each such node once, to the rank with
/// the same place there, and is handed on inside. What a rank or a node adds up before it answers is
/// a node of the expert tree, so the bits are those of one rank (docs/numerics.md section 3). Each
/// way has a start, a relay and a finish, between which other work may run: with two hops the relay
/// waits for the first and starts the second, else it does nothing; a finish does it where nobody
/// did. The backward of dispatch is a combine, that of combine a dispatch.
template <class Real>
class TokenTraffic {
 public:
  TokenTraffic() = default;
  /// Experts E of which each token chooses K; sums of `width` numbers, rows in one of two formats, the
  /// forward's and the backward's.
  TokenTraffic(Arena& arena, const ExpertShare& share, std::int64_t sequences, std::int64_t tokens,
               std::int64_t experts, std::int64_t top_k, std::int64_t width,
               RowFormat forward = RowFormat::real, RowFormat backward = RowFormat::real);

  /// Most choices of a token on one rank.
  std::int64_t local_choices() const { return last().local_choices(); }
  /// Tokens and rows that buffers are planned for.
  std::int64_t planned_tokens() const { return last().planned_in(); }
  std::int64_t planned_rows() const { return planned_rows_; }

  /// Says where each token goes, from selected (T, K) and weight (T, K). Adds to the loads (E).
  void plan(const ExecSpace& exec, const RowLayout& rows, Matrix<const std::int32_t> selected,
            Matrix<const Real> weight, std::span<std::int64_t> loads);
  /// Exchanges how many tokens and choices come from each sequence, and the choices themselves.
  /// Collective over the group.
  void announce();
  /// Tokens that arrive. Their sequences are those of the group as sequences() says.
  const ChosenTokens& received() const { return last().received(); }
  /// Which sequence of the group, number share b + s, each sequence of received() is.
  std::span<const std::int32_t> sequences() const { return sequences_; }
  /// Bytes that had to be allocated.
  std::int64_t grown() const {
    return grown_ + first_.grown() + (share_.two_hops ? second_.grown() : 0);
  }

  /// Rows of own tokens, T rows of bytes in one of the two formats, to the ranks of their experts.
  void dispatch_start(const ExecSpace& exec, Matrix<const std::byte> tokens,
                      const Rows<std::byte>& into);
  void dispatch_relay(const ExecSpace& exec, const Rows<std::byte>& into);
  /// Waits; `into` then has received().tokens rows.
  void dispatch_finish(const ExecSpace& exec, const Rows<std::byte>& into);

  /// sums() back to where the tokens came from, and `with_weights` the gradients of their routing
  /// weights, dweights(). What is added on the way is rounded as the sums are.
  void combine_start(const ExecSpace& exec, bool with_weights, TreeSums rounding = TreeSums::exact);
  /// Adds what the ranks of the node sent.
  void combine_relay(const ExecSpace& exec);
  /// Waits and adds what the ranks sent: out (T, D), dweight (T, K) unless none came.
  void combine_finish(const ExecSpace& exec, Matrix<Real> out, Matrix<Real> dweight);
  /// Room for what is sent back: (received().tokens, D) and (received().tokens, local_choices()).
  Matrix<Real> sums() const { return sums_->first(received().tokens); }
  Matrix<Real> dweights() const { return dweights_->first(received().tokens); }

  /// Copies that dispatch sends from this rank, also for others (two hops).
  TokenCopies copies() const;

 private:
  const Hop<Real>& last() const { return share_.two_hops ? second_ : first_; }
  Hop<Real>& last() { return share_.two_hops ? second_ : first_; }

  ExpertShare share_;
  std::int64_t top_k_ = 0, planned_rows_ = 0;
  Hop<Real> first_, second_;
  std::vector<std::int32_t> sequences_;
  ChosenTokens own_;
  std::vector<Real> host_weight_;
  // Shared by all layers.
  Rows<Real> sums_, dweights_;
  // Two hops: tokens between them.
  const Rows<std::byte>& crossed(const Rows<std::byte>& into) const {
    return into->cols() == crossed_[0]->cols() ? crossed_[0] : crossed_[1];
  }
  std::array<Rows<std::byte>, 2> crossed_;  ///< of each length of rows
  Rows<Real> crossed_sums_, crossed_dweights_;
  std::int64_t grown_ = 0;
  TreeSums rounding_ = TreeSums::exact;
  bool with_weights_ = false;
  bool relayed_ = true;
};

}  // namespace moray
