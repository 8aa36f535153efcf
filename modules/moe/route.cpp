#include "moe/route.hpp"

#include "core/error.hpp"

namespace moray {
namespace {

const std::string kCountLabel = "moray::moe::route_count";
const std::string kFillLabel = "moray::moe::route_fill";
const std::string kCollectLabel = "moray::moe::collect";

/// Calls visit(segment, token, k) for each choice of `expert` in order of (lane, g, position).
template <class Visit>
KOKKOS_INLINE_FUNCTION void visit_choices(std::int64_t expert, std::int64_t rows,
                                          const Vector<const std::int32_t>& order,
                                          const Vector<const std::int64_t>& boundaries,
                                          const Matrix<const std::int32_t>& selected,
                                          const Visit& visit) {
  for (std::int64_t segment = 0; segment + 1 < boundaries.size; ++segment) {
    for (std::int64_t i = boundaries[segment]; i < boundaries[segment + 1]; ++i) {
      const std::int64_t first = order[i] * rows;
      for (std::int64_t token = first; token < first + rows; ++token) {
        for (std::int64_t k = 0; k < selected.cols; ++k) {
          if (selected(token, k) == expert) visit(segment, token, k);
        }
      }
    }
  }
}

void count_choices(const ExecSpace& exec, std::int64_t rows, std::int64_t experts,
                   Vector<const std::int32_t> order, Vector<const std::int64_t> boundaries,
                   Matrix<const std::int32_t> selected, Vector<std::int64_t> counts) {
  const std::int64_t segments = boundaries.size - 1;
  parallel_for(
      kCountLabel, exec, experts, KOKKOS_LAMBDA(std::int64_t expert) {
        for (std::int64_t s = 0; s < segments; ++s) counts[expert * segments + s] = 0;
        visit_choices(
            expert, rows, order, boundaries, selected,
            [&](std::int64_t s, std::int64_t, std::int64_t) { ++counts[expert * segments + s]; });
      });
}

template <class Real>
void fill_rows(const ExecSpace& exec, std::int64_t rows, std::int64_t experts,
               Vector<const std::int32_t> order, Vector<const std::int64_t> boundaries,
               Matrix<const std::int32_t> selected, Matrix<const Real> weight,
               Vector<const std::int64_t> first, Vector<std::int32_t> source,
               Matrix<std::int32_t> row_of, Vector<Real> weights) {
  const std::int64_t segments = boundaries.size - 1;
  parallel_for(
      kFillLabel, exec, experts, KOKKOS_LAMBDA(std::int64_t expert) {
        std::int64_t row = first[expert * segments];
        visit_choices(expert, rows, order, boundaries, selected,
                      [&](std::int64_t, std::int64_t token, std::int64_t k) {
                        source[row] = static_cast<std::int32_t>(token);
                        row_of(token, k) = static_cast<std::int32_t>(row);
                        weights[row] = weight(token, k);
                        ++row;
                      });
      });
}

}  // namespace

template <class Real>
Route<Real>::Route(Arena& arena, std::int64_t sequences, std::int64_t tokens, std::int64_t experts,
                   std::int64_t top_k)
    : experts_(experts),
      source_(arena.rows<std::int32_t>(Memory::activations, tokens * top_k, 1)),
      weights_(arena.rows<Real>(Memory::activations, tokens * top_k, 1)),
      choice_rows_(arena.rows<std::int32_t>(Memory::activations, tokens, top_k)),
      order_(arena.vector<std::int32_t>(Memory::activations, sequences)),
      boundaries_(arena.vector<std::int64_t>(Memory::activations, sequences + 1)),
      offsets_(arena.vector<std::int64_t>(Memory::activations, experts * sequences)) {
  if (arena.counting()) return;
  first_.reserve(static_cast<std::size_t>(experts * sequences + 1));
  staging_.reserve(static_cast<std::size_t>(sequences + 1));
}

template <class Real>
Route<Real>::Route(Arena& arena, std::int64_t first_expert, std::int64_t experts,
                   std::int64_t tokens, std::int64_t rows, std::int64_t choices)
    : experts_(experts),
      first_expert_(first_expert),
      source_(arena.rows<std::int32_t>(Memory::activations, rows, 1)),
      weights_(arena.rows<Real>(Memory::activations, rows, 1)),
      choice_rows_(arena.rows<std::int32_t>(Memory::activations, tokens, choices)),
      received_experts_(arena.rows<std::int32_t>(Memory::activations, tokens, choices)) {}

template <class Real>
void Route<Real>::build(const ExecSpace& exec, const RowLayout& rows,
                        Matrix<const std::int32_t> selected, Matrix<const Real> weight) {
  own_ = rows;
  selected_ = selected;
  row_of_ = choice_rows_->first(selected.rows);
  const auto& segments = rows.batch->expert_segments();
  segments_ = static_cast<std::int64_t>(segments.size());
  staging_.assign(1, 0);
  for (const LaneSegment& segment : segments) staging_.push_back(segment.first + segment.sequences);
  const auto& order = rows.batch->expert_order();
  copy_to_device(staging_.data(), staging_.size(), boundaries_.data);
  copy_to_device(order.data(), order.size(), order_.data);
  const Vector<const std::int32_t> sequence_order = order_.slice(0, rows.batch->sequences());
  const Vector<const std::int64_t> boundaries = boundaries_.slice(0, segments_ + 1);
  const Vector<std::int64_t> offsets = offsets_.slice(0, experts_ * segments_);

  count_choices(exec, rows.rows, experts_, sequence_order, boundaries, selected, offsets);
  fence(exec, "moray::moe::route: counts to the host");
  first_.resize(static_cast<std::size_t>(offsets.size + 1));
  copy_to_host(offsets.data, static_cast<std::size_t>(offsets.size), first_.data());
  std::int64_t row = 0;
  for (std::int64_t& first : first_) {
    const std::int64_t count = &first == &first_.back() ? 0 : first;
    first = row;
    row += count;
  }
  MORAY_REQUIRE(row == selected.rows * selected.cols);
  copy_to_device(first_.data(), static_cast<std::size_t>(offsets.size), offsets.data);
  fill_rows<Real>(exec, rows.rows, experts_, sequence_order, boundaries, selected, weight, offsets,
                  {source_->first(1).data, row}, row_of_, {weights_->first(1).data, row});
}

template <class Real>
std::int64_t Route<Real>::build(const BatchLayout& batch, const ChosenTokens& received,
                                std::span<const std::int32_t> sequences) {
  const auto& order = batch.expert_order();
  const auto& segments = batch.expert_segments();
  const std::size_t experts = static_cast<std::size_t>(experts_);
  segments_ = static_cast<std::int64_t>(segments.size());
  // As which one each sequence of the group was received, and its first token there.
  received_as_.resize(sequences.size());
  begin_of_.clear();
  received_sequence_.resize(static_cast<std::size_t>(received.tokens));
  std::int64_t token = 0;
  for (std::size_t r = 0; r < sequences.size(); ++r) {
    const auto number = static_cast<std::size_t>(sequences[r]);
    received_as_[number] = static_cast<std::int64_t>(r);
    begin_of_.push_back(token);
    for (std::int64_t i = 0; i < received.sequence_tokens[r]; ++i)
      received_sequence_[static_cast<std::size_t>(token++)] = batch.group_global()[number];
  }
  MORAY_REQUIRE(token == received.tokens && order.size() == sequences.size());
  // First rows from the counts that came before the tokens.
  first_.assign(experts * segments.size() + 1, 0);
  std::int64_t rows = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      first_[e * segments.size() + s] = rows;
      for (std::int64_t i = 0; i < segments[s].sequences; ++i) {
        const auto number =
            static_cast<std::size_t>(order[static_cast<std::size_t>(segments[s].first + i)]);
        const auto sequence = static_cast<std::size_t>(received_as_[number]);
        rows += received.rows_of_expert[sequence * experts + e];
      }
    }
  }
  first_.back() = rows;

  const std::int64_t choices = received.choices;
  host_source_.resize(static_cast<std::size_t>(rows));
  host_weights_.resize(static_cast<std::size_t>(rows));
  host_row_of_.assign(static_cast<std::size_t>(received.tokens * choices), -1);
  next_.clear();  // row of each expert
  for (std::size_t e = 0; e < experts; ++e) next_.push_back(first_[e * segments.size()]);
  for (const std::int32_t sequence : order) {
    const auto s = static_cast<std::size_t>(received_as_[static_cast<std::size_t>(sequence)]);
    for (std::int64_t t = begin_of_[s]; t < begin_of_[s] + received.sequence_tokens[s]; ++t) {
      for (std::int64_t k = 0; k < choices; ++k) {
        const auto choice = static_cast<std::size_t>(t * choices + k);
        const std::int32_t expert = received.experts[choice];
        if (expert < 0) break;
        const std::int64_t row = next_[static_cast<std::size_t>(expert)]++;
        host_source_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(t);
        host_weights_[static_cast<std::size_t>(row)] = static_cast<Real>(received.weights[choice]);
        host_row_of_[choice] = static_cast<std::int32_t>(row);
      }
    }
  }
  std::int64_t grown = source_->require(rows) + weights_->require(rows);
  grown += choice_rows_->require(received.tokens) + received_experts_->require(received.tokens);
  copy_to_device(host_source_.data(), host_source_.size(), source_->first(1).data);
  copy_to_device(host_weights_.data(), host_weights_.size(), weights_->first(1).data);
  row_of_ = choice_rows_->first(received.tokens);
  copy_to_device(host_row_of_.data(), host_row_of_.size(), row_of_.data);
  const Matrix<std::int32_t> selected = received_experts_->first(received.tokens);
  copy_to_device(received.experts.data(), host_row_of_.size(), selected.data);
  selected_ = selected;
  return grown;
}

template <class Real>
std::int64_t Route<Real>::sequence(std::int64_t token) const {
  if (own_.batch == nullptr) return received_sequence_[static_cast<std::size_t>(token)];
  return own_.batch->global()[static_cast<std::size_t>(token / own_.rows)];
}

template <class Real>
void Route<Real>::row_blocks(std::vector<RowBlock>& blocks,
                             std::vector<std::int64_t>& first) const {
  blocks.clear();
  first.assign(1, 0);
  host_source_.resize(static_cast<std::size_t>(rows()));
  copy_to_host(source().data, host_source_.size(), host_source_.data());
  const auto sequence_of = [&](std::int64_t row) {
    return sequence(host_source_[static_cast<std::size_t>(row)]);
  };
  for (std::size_t run = 0; run + 1 < first_.size(); ++run) {
    for (std::int64_t begin = first_[run]; begin < first_[run + 1];) {
      std::int64_t end = begin + 1;
      while (end < first_[run + 1] && sequence_of(end) == sequence_of(begin)) ++end;
      append_row_blocks(begin, end - begin, blocks);
      begin = end;
    }
    first.push_back(static_cast<std::int64_t>(blocks.size()));
  }
}

template <class Real>
typename Route<Real>::Range Route<Real>::lane_rows(std::int64_t expert,
                                                   std::int64_t segment) const {
  const auto at = static_cast<std::size_t>(expert * segments_ + segment);
  return {first_[at], first_[at + 1] - first_[at]};
}

template <class Real>
typename Route<Real>::Range Route<Real>::expert_rows(std::int64_t expert) const {
  const auto at = static_cast<std::size_t>(expert * segments_);
  const auto end = static_cast<std::size_t>((expert + 1) * segments_);
  return {first_[at], first_[end] - first_[at]};
}

template <class Real>
void collect_rows(const ExecSpace& exec, Vector<const Real> per_row,
                  Matrix<const std::int32_t> row_of, Matrix<Real> out) {
  parallel_for(
      kCollectLabel, exec, out.rows, KOKKOS_LAMBDA(std::int64_t token) {
        for (std::int64_t k = 0; k < out.cols; ++k) {
          const std::int32_t row = row_of(token, k);
          out(token, k) = row < 0 ? Real(0) : per_row[row];
        }
      });
}

template <class Real>
void Route<Real>::collect(const ExecSpace& exec, Vector<const Real> per_row,
                          Matrix<Real> out) const {
  collect_rows<Real>(exec, per_row, row_of_, out);
}

template class Route<float>;
template class Route<double>;

}  // namespace moray
