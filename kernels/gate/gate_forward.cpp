#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"
#include "kernels/gate/gate_rule.hpp"
#include "kernels/gate/selection.hpp"

namespace moray {
namespace {

template <class Real>
KOKKOS_INLINE_FUNCTION void sigmoid_row(const Real* logit, std::int64_t experts, Real* s) {
  for (std::int64_t e = 0; e < experts; ++e) s[e] = sigmoid_exact(logit[e]);
}

/// s = e r with e and r as in the head (cross_entropy.hpp).
template <class Real>
KOKKOS_INLINE_FUNCTION void softmax_row(const Real* logit, std::int64_t experts, Real* s) {
  Real highest = logit[0];
  for (std::int64_t e = 1; e < experts; ++e) highest = logit[e] > highest ? logit[e] : highest;
  for (std::int64_t e = 0; e < experts; ++e) {
    const Real difference = logit[e] - highest;
    s[e] = difference < Real(-40) ? Real(0) : exp_exact(difference);
  }
  const Real r = Real(1) / row_sum<Real>(experts, [=](std::int64_t e) { return s[e]; });
  for (std::int64_t e = 0; e < experts; ++e) s[e] = s[e] * r;
}

/// A group's score: the sum of its two highest choices (sigmoid; one where it has one), or its
/// highest (softmax).
template <class Real, class Choice>
KOKKOS_INLINE_FUNCTION Real group_score(GateScore score, std::int64_t begin, std::int64_t size,
                                        const Choice& choice) {
  Real first = choice(begin);
  if (size == 1) return first;
  Real second = choice(begin + 1);
  if (second > first) {
    const Real swapped = first;
    first = second;
    second = swapped;
  }
  for (std::int64_t i = begin + 2; i < begin + size; ++i) {
    const Real value = choice(i);
    if (value > first) {
      second = first;
      first = value;
    } else if (value > second) {
      second = value;
    }
  }
  return score == GateScore::sigmoid ? or_lowest(first + second) : first;
}

/// The groups that a token may choose from, bit g for group g.
template <class Real, class Choice>
KOKKOS_INLINE_FUNCTION std::uint64_t allowed_groups(const GateRule& rule, const Choice& choice) {
  if (rule.top_groups == rule.groups) return ~std::uint64_t{0};
  const std::int64_t size = rule.experts / rule.groups;
  Best<Real, kMaxGateGroups> best(rule.top_groups);
  for (std::int64_t g = 0; g < rule.groups; ++g) {
    best.offer(group_score<Real>(rule.score, g * size, size, choice), g);
  }
  std::uint64_t allowed = 0;
  for (std::int64_t i = 0; i < best.count(); ++i) allowed |= std::uint64_t{1} << best.index(i);
  return allowed;
}

/// The K experts of a token in increasing index. Those of other groups count as -inf: as K experts
/// are allowed (require_valid), they are never offered.
template <class Real>
KOKKOS_INLINE_FUNCTION void select_experts(const GateRule& rule, const Real* s, const Real* bias,
                                           std::int32_t* selected) {
  const auto choice = [=](std::int64_t e) {
    return or_lowest(bias == nullptr ? s[e] : s[e] + bias[e]);
  };
  const std::uint64_t allowed = allowed_groups<Real>(rule, choice);
  const std::int64_t size = rule.experts / rule.groups;
  Best<Real, kMaxGateChoices> best(rule.top_k);
  for (std::int64_t g = 0; g < rule.groups; ++g) {
    if ((allowed >> g & 1) == 0) continue;
    for (std::int64_t e = g * size; e < (g + 1) * size; ++e) best.offer(choice(e), e);
  }
  best.write_sorted(selected);
}

/// w = (s / S) scale, or s scale.
template <class Real>
KOKKOS_INLINE_FUNCTION void weigh_experts(const GateRule& rule, const Real* s,
                                          const std::int32_t* selected, Real* weight) {
  const Real factor = static_cast<Real>(rule.scale);
  if (!normalizes(rule)) {
    for (std::int64_t k = 0; k < rule.top_k; ++k) weight[k] = s[selected[k]] * factor;
    return;
  }
  const Real sum = selected_sum(rule, s, selected);
  for (std::int64_t k = 0; k < rule.top_k; ++k) weight[k] = (s[selected[k]] / sum) * factor;
}

}  // namespace

template <class Real>
void gate_forward(const ExecSpace& exec, const GateRule& rule, Matrix<const Real> logits,
                  Vector<const Real> bias, Matrix<Real> s, Matrix<std::int32_t> selected,
                  Matrix<Real> weight, Vector<std::int64_t> bad_token) {
  static const std::string start_label = "moray::gate::start";
  static const std::string label = "moray::gate::forward";
  const std::int64_t tokens = logits.rows;
  require_valid(rule);
  MORAY_REQUIRE(logits.cols == rule.experts && (bias.size == 0 || bias.size == rule.experts));
  MORAY_REQUIRE(s.rows == tokens && s.cols == rule.experts && bad_token.size == 1);
  MORAY_REQUIRE(selected.rows == tokens && selected.cols == rule.top_k);
  MORAY_REQUIRE(weight.rows == tokens && weight.cols == rule.top_k);
  const Real* bias_data = bias.size == 0 ? nullptr : bias.data;
  parallel_for(
      start_label, exec, 1, KOKKOS_LAMBDA(std::int64_t) { bad_token[0] = tokens; });
  parallel_for(
      label, exec, tokens, KOKKOS_LAMBDA(const std::int64_t t) {
        const Real* logit = logits.row(t);
        bool finite = true;
        for (std::int64_t e = 0; e < rule.experts; ++e) {
          finite = finite && logit[e] - logit[e] == Real(0);
        }
        if (!finite) Kokkos::atomic_fetch_min(&bad_token[0], t);
        if (rule.score == GateScore::sigmoid) {
          sigmoid_row(logit, rule.experts, s.row(t));
        } else {
          softmax_row(logit, rule.experts, s.row(t));
        }
        if (!rule.replay) select_experts<Real>(rule, s.row(t), bias_data, selected.row(t));
        weigh_experts<Real>(rule, s.row(t), selected.row(t), weight.row(t));
      });
}

template void gate_forward(const ExecSpace&, const GateRule&, Matrix<const float>,
                           Vector<const float>, Matrix<float>, Matrix<std::int32_t>, Matrix<float>,
                           Vector<std::int64_t>);
template void gate_forward(const ExecSpace&, const GateRule&, Matrix<const double>,
                           Vector<const double>, Matrix<double>, Matrix<std::int32_t>,
                           Matrix<double>, Vector<std::int64_t>);

}  // namespace moray
