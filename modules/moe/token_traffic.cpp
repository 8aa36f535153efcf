#include "moe/token_traffic.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace moray {

template <class Real>
TokenTraffic<Real>::TokenTraffic(Arena& arena, const ExpertShare& share, std::int64_t sequences,
                                 std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                                 std::int64_t width, RowFormat forward, RowFormat backward)
    : share_(share), top_k_(top_k) {
  // Even experts: a rank gets as many copies as it sends, at most one of a token to each rank.
  const auto even = [&](std::int64_t ranks) { return tokens * std::min(top_k, ranks); };
  const std::array<std::int64_t, 2> bytes = {row_bytes<Real>(forward, width),
                                             row_bytes<Real>(backward, width)};
  const bool low = forward != RowFormat::real || backward != RowFormat::real;
  HopPlan plan = {.shares = share.shares,
                  .share = share.share,
                  .experts = experts,
                  .choices = top_k,
                  .sequences = sequences,
                  .tokens = tokens,
                  .mean_in = even(share.shares),
                  .most_in = tokens * share.shares,
                  .width = width,
                  .row_bytes = std::max(bytes[0], bytes[1]),
                  .low = low,
                  .headroom = share.headroom,
                  .name = "traffic.flat"};
  if (share.two_hops) {
    const std::int64_t nodes = share.shares / share.node_ranks;
    plan.shares = nodes;
    plan.share = share.share / share.node_ranks;
    plan.mean_in = even(nodes);
    plan.most_in = tokens * nodes;
    plan.name = "traffic.across";
  }
  first_ = Hop<Real>(arena, plan);
  if (share.two_hops) {
    const std::int64_t nodes = plan.shares;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      crossed_[i] = arena.shared_rows<std::byte>(fmt::format("traffic.crossed.{}", bytes[i]),
                                                 first_.planned_in(), bytes[i]);
    }
    crossed_sums_ = arena.shared_rows<Real>("traffic.crossed_sums", first_.planned_in(), width);
    crossed_dweights_ = arena.shared_rows<Real>("traffic.crossed_dweights", first_.planned_in(),
                                                first_.local_choices());
    second_ = Hop<Real>(arena, {.shares = share.node_ranks,
                                .share = share.share % share.node_ranks,
                                .experts = experts / nodes,
                                .choices = first_.local_choices(),
                                .sequences = nodes * sequences,
                                .tokens = first_.planned_in(),
                                .mean_in = even(share.shares),
                                .most_in = tokens * share.shares,
                                .width = width,
                                .row_bytes = plan.row_bytes,
                                .low = low,
                                .headroom = share.headroom,
                                .name = "traffic.inside"});
  }
  const double rows = std::ceil(share.headroom * static_cast<double>(tokens * top_k));
  planned_rows_ =
      std::min(static_cast<std::int64_t>(rows), tokens * share.shares * last().local_choices());
  sums_ = arena.shared_rows<Real>("traffic.sums", planned_tokens(), width);
  dweights_ = arena.shared_rows<Real>("traffic.dweights", planned_tokens(), local_choices());
  own_.choices = top_k;
  // In flat traffic the sequences come by share; with two hops by place in the node, then by node.
  const std::int64_t inside = share.two_hops ? share.node_ranks : 1;
  for (std::int64_t place = 0; place < inside; ++place) {
    for (std::int64_t node = 0; node < share.shares / inside; ++node) {
      for (std::int64_t s = 0; s < sequences; ++s) {
        sequences_.push_back(static_cast<std::int32_t>((node * inside + place) * sequences + s));
      }
    }
  }
}

template <class Real>
void TokenTraffic<Real>::plan(const ExecSpace& exec, const RowLayout& rows,
                              Matrix<const std::int32_t> selected, Matrix<const Real> weight,
                              std::span<std::int64_t> loads) {
  fence(exec, "moray::moe::traffic: the selection to the host");
  const auto choices = static_cast<std::size_t>(selected.rows * top_k_);
  own_.tokens = selected.rows;
  own_.sequence_tokens.assign(static_cast<std::size_t>(rows.batch->sequences()), rows.rows);
  own_.experts.resize(choices);
  host_weight_.resize(choices);
  copy_to_host(selected.data, choices, own_.experts.data());
  copy_to_host(weight.data, choices, host_weight_.data());
  own_.weights.assign(host_weight_.begin(), host_weight_.end());
  for (const std::int32_t expert : own_.experts) ++loads[static_cast<std::size_t>(expert)];
  first_.plan(own_);
}

template <class Real>
void TokenTraffic<Real>::announce() {
  MORAY_REQUIRE(share_.group != nullptr);
  grown_ = 0;
  first_.announce(share_.two_hops ? *share_.across : *share_.group);
  if (share_.two_hops) {
    second_.plan(first_.received());
    second_.announce(*share_.inside);
    grown_ += crossed_sums_->require(first_.received().tokens) +
              crossed_dweights_->require(first_.received().tokens);
  }
  grown_ += sums_->require(received().tokens) + dweights_->require(received().tokens);
}

template <class Real>
void TokenTraffic<Real>::dispatch_start(const ExecSpace& exec, Matrix<const std::byte> tokens,
                                        const Rows<std::byte>& into) {
  relayed_ = !share_.two_hops;
  first_.dispatch_start(exec, tokens, share_.two_hops ? crossed(into) : into);
}

template <class Real>
void TokenTraffic<Real>::dispatch_relay(const ExecSpace& exec, const Rows<std::byte>& into) {
  if (relayed_) return;
  relayed_ = true;
  first_.dispatch_finish();
  second_.dispatch_start(exec, crossed(into)->first(first_.received().tokens), into);
}

template <class Real>
void TokenTraffic<Real>::dispatch_finish(const ExecSpace& exec, const Rows<std::byte>& into) {
  dispatch_relay(exec, into);
  last().dispatch_finish();
}

template <class Real>
void TokenTraffic<Real>::combine_start(const ExecSpace& exec, bool with_weights,
                                       TreeSums rounding) {
  rounding_ = rounding;
  with_weights_ = with_weights;
  relayed_ = !share_.two_hops;
  last().combine_start(exec, sums_, dweights_, with_weights, rounding);
}

template <class Real>
void TokenTraffic<Real>::combine_relay(const ExecSpace& exec) {
  if (relayed_) return;
  relayed_ = true;
  const std::int64_t tokens = first_.received().tokens;
  second_.combine_finish(exec, crossed_sums_->first(tokens), crossed_dweights_->first(tokens));
  first_.combine_start(exec, crossed_sums_, crossed_dweights_, with_weights_, rounding_);
}

template <class Real>
void TokenTraffic<Real>::combine_finish(const ExecSpace& exec, Matrix<Real> out,
                                        Matrix<Real> dweight) {
  combine_relay(exec);
  first_.combine_finish(exec, out, dweight);
}

template <class Real>
TokenCopies TokenTraffic<Real>::copies() const {
  TokenCopies copies;
  const auto count = [&](std::span<const std::int64_t> sent_to, auto share_of) {
    for (std::size_t rank = 0; rank < sent_to.size(); ++rank) {
      const std::int64_t to = share_of(static_cast<std::int64_t>(rank));
      (to == share_.share                                   ? copies.kept
       : share_.node_of(to) == share_.node_of(share_.share) ? copies.inside
                                                            : copies.across) += sent_to[rank];
    }
  };
  if (!share_.two_hops) {
    count(first_.sent_to(), [](std::int64_t rank) { return rank; });
    return copies;
  }
  const std::int64_t place = share_.share % share_.node_ranks;
  const std::int64_t first = share_.share - place;
  count(first_.sent_to(), [&](std::int64_t node) { return node * share_.node_ranks + place; });
  copies.kept = 0;  // those of the own node: the second hop says where they go
  count(second_.sent_to(), [&](std::int64_t rank) { return first + rank; });
  return copies;
}

TokenCopies predicted_copies(const ExpertShare& share, std::int64_t experts, std::int64_t top_k,
                             std::span<const std::int32_t> selected) {
  TokenCopies copies;
  const std::int64_t local = share.count(experts);
  const std::int64_t place = share.two_hops ? share.share % share.node_ranks : 0;
  for (std::size_t t = 0; t < selected.size(); t += static_cast<std::size_t>(top_k)) {
    std::int64_t last_share = -1, last_node = -1;
    for (std::size_t k = t; k < t + static_cast<std::size_t>(top_k); ++k) {
      const std::int64_t to = selected[k] / local;  // increasing
      if (to == last_share) continue;
      last_share = to;
      const std::int64_t node = share.node_of(to);
      if (!share.two_hops) {
        (to == share.share                    ? copies.kept
         : node == share.node_of(share.share) ? copies.inside
                                              : copies.across) += 1;
        continue;
      }
      if (node != share.node_of(share.share) && node != last_node) ++copies.across;
      last_node = node;
      (to == node * share.node_ranks + place ? copies.kept : copies.inside) += 1;
    }
  }
  return copies;
}

template class TokenTraffic<float>;
template class TokenTraffic<double>;

}  // namespace moray
