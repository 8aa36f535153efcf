#include "moe/hop.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/quantize/bf16.hpp"
#include "moe/row_format.hpp"

namespace moray {
namespace {

const std::string kWeightsLabel = "moray::moe::returned_weights";

/// Copies host indices to rows of the backend; returns the bytes that it had to allocate.
std::int64_t upload(const std::vector<std::int32_t>& host, const Rows<std::int32_t>& rows) {
  const auto size = static_cast<std::int64_t>(host.size());
  const std::int64_t grown = rows->require((size + rows->cols() - 1) / rows->cols());
  copy_to_device(host.data(), host.size(), rows->first(0).data);
  return grown;
}

template <class Real>
void collect_returned(const ExecSpace& exec, Matrix<const Real> returned,
                      Matrix<const std::int32_t> choice, Matrix<Real> dweight) {
  parallel_for(
      kWeightsLabel, exec, dweight.rows, KOKKOS_LAMBDA(std::int64_t token) {
        for (std::int64_t k = 0; k < dweight.cols; ++k) {
          const std::int32_t place = choice(token, k);
          dweight(token, k) = place < 0 ? Real(0) : returned.data[place];
        }
      });
}

}  // namespace

void MatrixExchange::start(const Communicator& ranks, Matrix<const std::byte> out,
                           std::span<const std::int64_t> out_rows, Matrix<std::byte> in,
                           std::span<const std::int64_t> in_rows, RowPin from_rows,
                           RowPin to_rows) {
  MORAY_REQUIRE(out.stride == out.cols && in.stride == in.cols && in.cols == out.cols);
  const std::byte* from = out.data;
  std::byte* to = in.data;
  in_ = in;
  from_ = std::move(from_rows);
  to_ = std::move(to_rows);
  if constexpr (!kHostBackend) {
    host_out_.resize(static_cast<std::size_t>(out.rows * out.cols));
    host_in_.resize(static_cast<std::size_t>(in.rows * in.cols));
    copy_to_host(out.data, host_out_.size(), host_out_.data());
    from = host_out_.data();
    to = host_in_.data();
  }
  exchange_.start(ranks, from, out_rows, to, in_rows, out.cols);
}

void MatrixExchange::finish() {
  exchange_.finish();
  if constexpr (!kHostBackend) copy_to_device(host_in_.data(), host_in_.size(), in_.data);
  from_ = {};
  to_ = {};
}

template <class Real>
Hop<Real>::Hop(Arena& arena, const HopPlan& plan)
    : plan_(plan),
      local_choices_(std::min(plan.choices, plan.experts / plan.shares)),
      fan_out_(std::min(plan.choices, plan.shares)) {
  const double wanted = std::ceil(plan.headroom * static_cast<double>(plan.mean_in));
  planned_in_ = std::min(static_cast<std::int64_t>(wanted), plan.most_in);
  // On average a rank sends as many copies as it gets, and never more than one to each rank.
  const std::int64_t copies = std::min(plan.tokens * fan_out_, planned_in_);
  const auto indices = [&](std::int64_t rows, std::int64_t cols) {
    return arena.rows<std::int32_t>(Memory::activations, rows, cols);
  };
  copy_token_ = indices(copies, 1);
  ranks_of_ = indices(plan.tokens, fan_out_);
  copies_of_ = indices(plan.tokens, fan_out_);
  choice_ = indices(plan.tokens, plan.choices);
  const auto key = [&](const char* what) { return fmt::format("{}.{}", plan.name, what); };
  rows_out_ = arena.shared_rows<std::byte>(key("rows_out"), copies * plan.row_bytes, 1);
  returned_ = arena.shared_rows<Real>(key("returned"), copies, plan.width);
  dweights_in_ = arena.shared_rows<Real>(key("dweights_in"), copies, local_choices_);
  if (plan.low) {
    sums_out_ = arena.shared_rows<std::uint16_t>(key("sums_out"), planned_in_, plan.width);
    returned_codes_ = arena.shared_rows<std::uint16_t>(key("returned_codes"), copies, plan.width);
  }
  if (arena.counting()) return;
  const auto counts =
      static_cast<std::size_t>(plan.shares * plan.sequences * (1 + plan.experts / plan.shares));
  counts_out_.resize(counts);
  counts_in_.resize(counts);
}

/// Calls visit(t, rank, first, end) for each rank that has experts of a token: its choices
/// [first, end), which follow each other, since they come in increasing order.
template <class Visit>
static void visit_copies(const ChosenTokens& from, std::int64_t experts_of_rank,
                         const Visit& visit) {
  for (std::int64_t t = 0; t < from.tokens; ++t) {
    const std::int32_t* chosen = from.experts.data() + t * from.choices;
    for (std::int64_t k = 0; k < from.choices && chosen[k] >= 0;) {
      const std::int64_t rank = chosen[k] / experts_of_rank;
      std::int64_t end = k + 1;
      while (end < from.choices && chosen[end] >= 0 && chosen[end] / experts_of_rank == rank) ++end;
      visit(t, rank, k, end);
      k = end;
    }
  }
}

/// One copy of a token for each rank with an expert of it, in the order of ranks and tokens: counted
/// first, so that each then has its place.
template <class Real>
void Hop<Real>::plan(const ChosenTokens& from) {
  MORAY_REQUIRE(from.choices == plan_.choices &&
                static_cast<std::int64_t>(from.sequence_tokens.size()) == plan_.sequences);
  const std::int64_t local = plan_.experts / plan_.shares;
  tokens_ = from.tokens;
  sent_to_.assign(static_cast<std::size_t>(plan_.shares), 0);
  visit_copies(from, local, [&](std::int64_t, std::int64_t rank, std::int64_t, std::int64_t) {
    ++sent_to_[static_cast<std::size_t>(rank)];
  });
  next_.clear();
  copies_ = 0;
  for (const std::int64_t sent : sent_to_) {
    next_.push_back(copies_);
    copies_ += sent;
  }
  const auto copies = static_cast<std::size_t>(copies_);
  host_copy_token_.resize(copies);
  choices_out_.assign(copies * static_cast<std::size_t>(2 * local_choices_), -1);
  host_ranks_.assign(static_cast<std::size_t>(tokens_ * fan_out_), -1);
  host_copies_.assign(host_ranks_.size(), -1);
  host_choice_.assign(static_cast<std::size_t>(tokens_ * from.choices), -1);
  std::fill(counts_out_.begin(), counts_out_.end(), 0);

  std::int64_t token = -1, found = 0;    // ranks of this token so far
  std::int64_t sequence = -1, ends = 0;  // of the token's sequence
  visit_copies(from, local,
               [&](std::int64_t t, std::int64_t rank, std::int64_t k, std::int64_t end) {
                 while (t >= ends)
                   ends += from.sequence_tokens[static_cast<std::size_t>(++sequence)];
                 if (t != token) found = 0;
                 token = t;
                 const std::int64_t copy = next_[static_cast<std::size_t>(rank)]++;
                 host_copy_token_[static_cast<std::size_t>(copy)] = static_cast<std::int32_t>(t);
                 const auto place = static_cast<std::size_t>(t * fan_out_ + found++);
                 host_ranks_[place] = static_cast<std::int32_t>(rank);
                 host_copies_[place] = static_cast<std::int32_t>(copy);
                 std::int32_t* out = choices_out_.data() + copy * 2 * local_choices_;
                 std::int32_t* counts =
                     counts_out_.data() + (rank * plan_.sequences + sequence) * (1 + local);
                 ++counts[0];
                 for (std::int64_t i = 0; k + i < end; ++i) {
                   const auto choice = static_cast<std::size_t>(t * from.choices + k + i);
                   const std::int64_t expert = from.experts[choice] - rank * local;
                   out[i] = static_cast<std::int32_t>(expert);
                   out[local_choices_ + i] = std::bit_cast<std::int32_t>(from.weights[choice]);
                   host_choice_[choice] = static_cast<std::int32_t>(copy * local_choices_ + i);
                   ++counts[1 + expert];
                 }
               });
  grown_ = upload(host_copy_token_, copy_token_) + upload(host_ranks_, ranks_of_) +
           upload(host_copies_, copies_of_) + upload(host_choice_, choice_) +
           rows_out_->require(copies_ * plan_.row_bytes) + returned_->require(copies_) +
           dweights_in_->require(copies_);
  if (plan_.low) grown_ += returned_codes_->require(copies_);
}

template <class Real>
void Hop<Real>::announce(const Communicator& ranks) {
  MORAY_REQUIRE(ranks.size() == plan_.shares && ranks.rank() == plan_.share);
  ranks_ = &ranks;
  const std::int64_t local = plan_.experts / plan_.shares;
  ranks.all_to_all(counts_out_, counts_in_, plan_.sequences * (1 + local));
  received_.choices = local_choices_;
  received_.tokens = 0;
  received_.sequence_tokens.clear();
  received_.rows_of_expert.clear();
  received_from_.assign(static_cast<std::size_t>(plan_.shares), 0);
  const std::int32_t* count = counts_in_.data();
  for (std::int64_t& from : received_from_) {
    for (std::int64_t s = 0; s < plan_.sequences; ++s) {
      received_.sequence_tokens.push_back(*count);
      from += *count++;
      received_.rows_of_expert.insert(received_.rows_of_expert.end(), count, count + local);
      count += local;
    }
    received_.tokens += from;
  }
  if (plan_.low) grown_ += sums_out_->require(received_.tokens);
  const auto k = static_cast<std::size_t>(local_choices_);
  const std::size_t choices = static_cast<std::size_t>(received_.tokens) * k;
  choices_in_.resize(2 * choices);
  choices_exchange_.start(ranks, choices_out_.data(), sent_to_, choices_in_.data(), received_from_,
                          2 * local_choices_ * static_cast<std::int64_t>(sizeof(std::int32_t)));
  choices_exchange_.finish();
  received_.experts.resize(choices);
  received_.weights.resize(choices);
  for (std::size_t choice = 0; choice < choices; ++choice) {
    const std::size_t at = choice / k * 2 * k + choice % k;
    received_.experts[choice] = choices_in_[at];
    received_.weights[choice] = std::bit_cast<float>(choices_in_[at + k]);
  }
}

template <class Real>
void Hop<Real>::dispatch_start(const ExecSpace& exec, Matrix<const std::byte> tokens,
                               const Rows<std::byte>& into) {
  grown_ += into->require(received_.tokens);
  MORAY_REQUIRE(tokens.cols == into->cols() && tokens.cols <= plan_.row_bytes);
  const Matrix<std::byte> out = matrix(rows_out_->first(0).data, copies_, tokens.cols);
  gather_row_bytes(exec, tokens, {copy_token_->first(0).data, copies_}, out);
  fence(exec, "moray::moe::hop: rows packed");
  rows_exchange_.start(*ranks_, out, sent_to_, into->first(received_.tokens), received_from_,
                       RowPin(rows_out_), RowPin(into));
}

template <class Real>
void Hop<Real>::combine_start(const ExecSpace& exec, const Rows<Real>& sums,
                              const Rows<Real>& dweights, bool with_weights, TreeSums rounding) {
  rounding_ = rounding;
  const auto send = [&](MatrixExchange& exchange, const auto& rows, const auto& returned) {
    using Number = std::remove_reference_t<decltype(*rows->first(0).data)>;
    exchange.start(*ranks_, as_bytes<Number>(rows->first(received_.tokens)), received_from_,
                   as_byte_rows(returned->first(copies_)), sent_to_, RowPin(rows),
                   RowPin(returned));
  };
  if constexpr (std::is_same_v<Real, float>) {
    if (rounding == TreeSums::bf16)
      to_bf16(exec, sums->first(received_.tokens), sums_out_->first(received_.tokens));
  }
  fence(exec, "moray::moe::hop: sums of what is here");
  if (rounding == TreeSums::exact) {
    send(rows_exchange_, sums, returned_);
  } else {
    MORAY_REQUIRE(plan_.low);
    send(rows_exchange_, sums_out_, returned_codes_);
  }
  with_weights_ = with_weights;
  if (with_weights_) send(weights_exchange_, dweights, dweights_in_);
}

template <class Real>
void Hop<Real>::combine_finish(const ExecSpace& exec, Matrix<Real> out, Matrix<Real> dweights) {
  rows_exchange_.finish();
  if constexpr (std::is_same_v<Real, float>) {
    if (rounding_ == TreeSums::bf16)
      from_bf16(exec, returned_codes_->first(copies_), returned_->first(copies_));
  }
  tree_combine<Real>(exec, plan_.shares, returned_->first(copies_), ranks_of_->first(tokens_),
                     copies_of_->first(tokens_), out, rounding_);
  if (!with_weights_) return;
  weights_exchange_.finish();
  collect_returned<Real>(exec, dweights_in_->first(copies_), choice_->first(tokens_), dweights);
}

template class Hop<float>;
template class Hop<double>;

}  // namespace moray
