#include "moe/token_traffic.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.hpp"
#include "kernels/permute/permute.hpp"

namespace moray {
namespace {

const std::string kWeightsLabel = "moray::moe::returned_weights";

/// Rows that are planned for: the headroom times the mean, never more than can come.
std::int64_t planned(double headroom, std::int64_t mean, std::int64_t most) {
  const double wanted = std::ceil(headroom * static_cast<double>(mean));
  return std::min(static_cast<std::int64_t>(wanted), most);
}

template <class T>
void upload(const std::vector<T>& host, T* device) {
  copy_to_device(host.data(), host.size(), device);
}

}  // namespace

template <class Real>
void MatrixExchange<Real>::start(const Communicator& ranks, Matrix<const Real> out,
                                 std::span<const std::int64_t> out_rows, Matrix<Real> in,
                                 std::span<const std::int64_t> in_rows) {
  const Real* from = out.data;
  Real* to = in.data;
  in_ = in;
  if constexpr (!kHostBackend) {
    host_out_.resize(static_cast<std::size_t>(out.rows * out.cols));
    host_in_.resize(static_cast<std::size_t>(in.rows * in.cols));
    copy_to_host(out.data, host_out_.size(), host_out_.data());
    from = host_out_.data();
    to = host_in_.data();
  }
  exchange_.start(ranks, from, out_rows, to, in_rows,
                  out.cols * static_cast<std::int64_t>(sizeof(Real)));
}

template <class Real>
void MatrixExchange<Real>::finish() {
  exchange_.finish();
  if constexpr (!kHostBackend) copy_to_device(host_in_.data(), host_in_.size(), in_.data);
}

template <class Real>
TokenTraffic<Real>::TokenTraffic(Arena& arena, const ExpertShare& share, std::int64_t sequences,
                                 std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                                 std::int64_t width)
    : share_(share),
      experts_(experts),
      top_k_(top_k),
      local_choices_(std::min(top_k, share.count(experts))),
      fan_out_(std::min(top_k, share.shares)) {
  // A rank gets the copies that another one sends: K rows and at most fan-out copies a token.
  planned_tokens_ = planned(share.headroom, tokens * fan_out_, tokens * share.shares);
  planned_rows_ = planned(share.headroom, tokens * top_k, tokens * share.shares * local_choices_);
  const std::int64_t copies = tokens * fan_out_;
  copy_token_ = arena.vector<std::int32_t>(Memory::activations, copies);
  shares_ = arena.matrix<std::int32_t>(Memory::activations, tokens, fan_out_);
  copies_ = arena.matrix<std::int32_t>(Memory::activations, tokens, fan_out_);
  choice_ = arena.vector<std::int32_t>(Memory::activations, tokens * top_k);
  copies_out_ = arena.shared_rows<Real>("traffic.copies_out", copies, width);
  returned_ = arena.shared_rows<Real>("traffic.returned", copies, width);
  sums_ = arena.shared_rows<Real>("traffic.sums", planned_tokens_, width);
  dweights_out_ = arena.shared_rows<Real>("traffic.dweights_out", planned_tokens_, local_choices_);
  dweights_in_ = arena.shared_rows<Real>("traffic.dweights_in", copies, local_choices_);
  if (arena.counting()) return;
  const auto counts =
      static_cast<std::size_t>(share.shares * sequences * (1 + share.count(experts)));
  counts_out_.resize(counts);
  counts_in_.resize(counts);
}

/// Copies of each token, one for each rank with an expert of it, in the order of ranks and tokens.
template <class Real>
void TokenTraffic<Real>::plan(const ExecSpace& exec, const RowLayout& rows,
                              Matrix<const std::int32_t> selected, Matrix<const Real> weight,
                              std::span<std::int64_t> loads) {
  fence(exec, "moray::moe::traffic: the selection to the host");
  const std::int64_t tokens = selected.rows;
  const auto choices = static_cast<std::size_t>(tokens * top_k_);
  host_selected_.resize(choices);
  host_weight_.resize(choices);
  copy_to_host(selected.data, choices, host_selected_.data());
  copy_to_host(weight.data, choices, host_weight_.data());
  const std::int64_t local = share_.count(experts_);
  const std::int64_t per_sequence = 1 + local;
  const std::int64_t sequences = rows.batch->sequences();
  std::fill(counts_out_.begin(), counts_out_.end(), 0);
  host_copy_token_.clear();
  choices_out_.clear();
  host_shares_.assign(static_cast<std::size_t>(tokens * fan_out_), -1);
  host_copies_.assign(host_shares_.size(), -1);
  host_choice_.resize(choices);
  sent_to_.assign(static_cast<std::size_t>(share_.shares), 0);
  found_shares_.assign(static_cast<std::size_t>(tokens), 0);
  for (std::int64_t share = 0; share < share_.shares; ++share) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int32_t* chosen = host_selected_.data() + t * top_k_;
      std::int64_t found = 0;
      std::int32_t* counts =
          counts_out_.data() + (share * sequences + t / rows.rows) * per_sequence;
      const auto copy = static_cast<std::int32_t>(host_copy_token_.size());
      for (std::int64_t k = 0; k < top_k_; ++k) {
        if (chosen[k] / local != share) continue;
        if (found == 0) choices_out_.resize(choices_out_.size() + 2 * local_choices_, -1);
        const std::int64_t expert = chosen[k] - share * local;
        std::int32_t* out = choices_out_.data() + copy * 2 * local_choices_;
        out[found] = static_cast<std::int32_t>(expert);
        out[local_choices_ + found] = std::bit_cast<std::int32_t>(
            static_cast<float>(host_weight_[static_cast<std::size_t>(t * top_k_ + k)]));
        host_choice_[static_cast<std::size_t>(t * top_k_ + k)] =
            static_cast<std::int32_t>(copy * local_choices_ + found);
        ++found;
        ++counts[1 + expert];
        ++loads[static_cast<std::size_t>(chosen[k])];
      }
      if (found == 0) continue;
      ++counts[0];
      ++sent_to_[static_cast<std::size_t>(share)];
      const auto place =
          static_cast<std::size_t>(t * fan_out_ + found_shares_[static_cast<std::size_t>(t)]++);
      host_shares_[place] = static_cast<std::int32_t>(share);
      host_copies_[place] = copy;
      host_copy_token_.push_back(static_cast<std::int32_t>(t));
    }
  }
  sent_ = static_cast<std::int64_t>(host_copy_token_.size());
  upload(host_copy_token_, copy_token_.data);
  upload(host_shares_, shares_.data);
  upload(host_copies_, copies_.data);
  upload(host_choice_, choice_.data);
}

template <class Real>
void TokenTraffic<Real>::announce() {
  MORAY_REQUIRE(share_.group != nullptr && share_.group->size() == share_.shares);
  const std::int64_t local = share_.count(experts_);
  const std::int64_t per_rank = static_cast<std::int64_t>(counts_out_.size()) / share_.shares;
  share_.group->all_to_all(counts_out_, counts_in_, per_rank);
  const std::int64_t sequences = per_rank / (1 + local);
  received_.choices = local_choices_;
  received_.sequence_tokens.clear();
  received_.rows_of_expert.clear();
  received_.tokens = 0;
  received_from_.assign(static_cast<std::size_t>(share_.shares), 0);
  const std::int32_t* count = counts_in_.data();
  for (std::int64_t& from : received_from_) {
    for (std::int64_t s = 0; s < sequences; ++s) {
      received_.sequence_tokens.push_back(*count);
      from += *count++;
      received_.rows_of_expert.insert(received_.rows_of_expert.end(), count, count + local);
      count += local;
    }
    received_.tokens += from;
  }
  const auto words = static_cast<std::size_t>(received_.tokens * 2 * local_choices_);
  choices_in_.resize(words);
  choices_exchange_.start(*share_.group, choices_out_.data(), sent_to_, choices_in_.data(),
                          received_from_,
                          2 * local_choices_ * static_cast<std::int64_t>(sizeof(std::int32_t)));
  grown_ = sums_->require(received_.tokens) + dweights_out_->require(received_.tokens);
  choices_exchange_.finish();
  received_.experts.resize(words / 2);
  received_.weights.resize(words / 2);
  const auto k = static_cast<std::size_t>(local_choices_);
  for (std::size_t choice = 0; choice < words / 2; ++choice) {
    const std::size_t at = choice / k * 2 * k + choice % k;
    received_.experts[choice] = choices_in_[at];
    received_.weights[choice] = std::bit_cast<float>(choices_in_[at + k]);
  }
}

template <class Real>
void TokenTraffic<Real>::dispatch_start(const ExecSpace& exec, Matrix<const Real> tokens,
                                        const Rows<Real>& into) {
  grown_ += into->require(received_.tokens);
  const Matrix<Real> out = copies_out_->first(sent_);
  gather_rows<Real>(exec, tokens, copy_token_.slice(0, sent_), out);
  fence(exec, "moray::moe::traffic: rows packed");
  rows_exchange_.start(*share_.group, out, sent_to_, into->first(received_.tokens), received_from_);
}

template <class Real>
void TokenTraffic<Real>::combine_start(const ExecSpace& exec, Matrix<const Real> sums,
                                       Matrix<const Real> dweights) {
  fence(exec, "moray::moe::traffic: sums of the local experts");
  rows_exchange_.start(*share_.group, sums, received_from_, returned_->first(sent_), sent_to_);
  with_weights_ = dweights.rows > 0;
  if (!with_weights_) return;
  weights_exchange_.start(*share_.group, dweights, received_from_, dweights_in_->first(sent_),
                          sent_to_);
}

template <class Real>
void TokenTraffic<Real>::combine_finish(const ExecSpace& exec, Matrix<Real> out) {
  rows_exchange_.finish();
  if (with_weights_) weights_exchange_.finish();
  tree_combine<Real>(exec, share_.shares, returned_->first(sent_), shares_.row_range(0, out.rows),
                     copies_.row_range(0, out.rows), out);
}

template <class Real>
void collect_returned(const ExecSpace& exec, Matrix<const Real> returned,
                      Vector<const std::int32_t> choice, Matrix<Real> dweight) {
  parallel_for(
      kWeightsLabel, exec, dweight.rows, KOKKOS_LAMBDA(std::int64_t token) {
        for (std::int64_t k = 0; k < dweight.cols; ++k)
          dweight(token, k) = returned.data[choice[token * dweight.cols + k]];
      });
}

template <class Real>
void TokenTraffic<Real>::collect_weights(const ExecSpace& exec, Matrix<Real> dweight) const {
  collect_returned<Real>(exec, dweights_in_->first(sent_), choice_, dweight);
}

template class MatrixExchange<float>;
template class MatrixExchange<double>;
template class TokenTraffic<float>;
template class TokenTraffic<double>;

}  // namespace moray
