#pragma once

#include "core/matrix.hpp"

namespace moray {

enum class GateScore { sigmoid, softmax };

/// What one thread keeps while it selects: the best experts and the best groups of a token.
inline constexpr std::int64_t kMaxGateChoices = 64;
inline constexpr std::int64_t kMaxGateGroups = 64;

/// Routing rule of one MoE layer (DeepSeek-V3 report, equations 12 to 16; V2 for softmax).
struct GateRule {
  GateScore score = GateScore::sigmoid;
  std::int64_t experts = 0;     ///< E
  std::int64_t top_k = 0;       ///< K <= kMaxGateChoices
  std::int64_t groups = 1;      ///< G <= kMaxGateGroups, each of E / G consecutive experts
  std::int64_t top_groups = 1;  ///< groups that may be chosen from
  bool normalize = true;        ///< p = s / (sum of selected s + 1e-20); always for sigmoid
  double scale = 1.0;           ///< routed scaling factor
  bool replay = false;          ///< keep the selection that is there: `selected` is an input
};

/// Scores and selection of T tokens from their logits (T, E).
/// sigmoid: s = sigmoid(logit); softmax: e and r as in the head, s = e r.
/// choice = s + bias (bias (E), empty for none). A group's score is the sum of its two highest
/// choices, the higher first (sigmoid; one where a group has one), or its highest (softmax); groups
/// and experts tie to the lower index; experts of other groups count as -inf.
/// Outputs: s (T, E); selected (T, K), in increasing expert index; weight (T, K): w = p scale, or
/// s scale without normalisation. Returns through `bad_token` (1) the lowest token with a logit
/// that is not finite, or T; such a token still gets K different experts (NaN counts as -inf).
template <class Real>
void gate_forward(const ExecSpace& exec, const GateRule& rule, Matrix<const Real> logits,
                  Vector<const Real> bias, Matrix<Real> s, Matrix<std::int32_t> selected,
                  Matrix<Real> weight, Vector<std::int64_t> bad_token);

/// counts (B, E) += how often each expert is among the K highest s of a token, without bias and
/// without the group limit (report, equation 18): the f of the sequence-wise balance loss.
template <class Real>
void gate_unlimited_counts(const ExecSpace& exec, std::int64_t top_k, Matrix<const Real> s,
                           Matrix<std::int64_t> counts);

/// Sequence-wise balance loss of each of B sequences (report, equations 17 to 20), T_s the length
/// of the sample that divides both f and P (rows of a sequence may be fewer under MTP).
/// f_i = float32(E c_i) / float32(K T_s); n = s / Z, Z = rowred(s); P_i = chain_t(n_i) / T_s;
/// loss (B) = alpha rowred(f P). q (B, E) = alpha f for the backward.
template <class Real>
void gate_balance_loss(const ExecSpace& exec, const GateRule& rule, std::int64_t sample_rows,
                       Real alpha, Matrix<const Real> s, Matrix<const std::int64_t> counts,
                       Matrix<Real> q, Vector<Real> loss);

/// dlogit (T, E) from the gradient dw (T, K) of the weights and, when q is not empty, of T_s times
/// the balance loss (the optimizer divides by tokens, T has cancelled): ds as in docs/numerics.md section 6, then dlogit = ds (s (1 - s)) for sigmoid,
/// s (ds - rowred(ds s)) for softmax. Row t belongs to sequence t / (T / B).
template <class Real>
void gate_backward(const ExecSpace& exec, const GateRule& rule, Matrix<const Real> dw,
                   Matrix<const Real> s, Matrix<const std::int32_t> selected, Matrix<const Real> q,
                   Matrix<Real> dlogit);

}  // namespace moray
