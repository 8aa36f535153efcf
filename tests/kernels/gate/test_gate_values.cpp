#include <limits>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/gate/routing.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr std::int64_t kTokens = 6, kSequences = 2, kK = 3;
constexpr float kAlpha = 0.37F;

GateRule rule_of(GateScore score, bool normalize, std::int64_t experts) {
  return {.score = score, .experts = experts, .top_k = kK, .normalize = normalize, .scale = 2.5};
}

float row_sum_of(Tensor<float>& s, std::int64_t t) {
  return plain_row_reduction<float>(s.cols(), [&](std::int64_t e, float c) { return c + s(t, e); });
}

/// s of docs/numerics.md section 6.
void plain_scores(GateScore score, Tensor<float>& logits, Tensor<float>& s) {
  for (std::int64_t t = 0; t < s.rows(); ++t) {
    float m = logits(t, 0);
    for (std::int64_t e = 0; e < s.cols(); ++e) m = std::max(m, logits(t, e));
    for (std::int64_t e = 0; e < s.cols(); ++e) {
      const float x = logits(t, e);
      s(t, e) = score == GateScore::sigmoid ? 1.0F / (1.0F + exp_exact(-x))
                : x - m < -40.0F            ? 0.0F
                                            : exp_exact(x - m);
    }
    if (score == GateScore::sigmoid) continue;
    const float r = 1.0F / row_sum_of(s, t);
    for (std::int64_t e = 0; e < s.cols(); ++e) s(t, e) = s(t, e) * r;
  }
}

float plain_sum(Routing<float>& out, std::int64_t t) {
  float sum = 0;
  for (std::int64_t k = 0; k < kK; ++k) sum = sum + out.s(t, out.selected(t, k));
  return sum + 1e-20F;
}

void plain_weights(bool normalized, Routing<float>& out, Tensor<float>& weight) {
  for (std::int64_t t = 0; t < weight.rows(); ++t) {
    for (std::int64_t k = 0; k < kK; ++k) {
      const float s = out.s(t, out.selected(t, k));
      const float p = s / plain_sum(out, t);
      weight(t, k) = (normalized ? p : s) * 2.5F;
    }
  }
}

void plain_balance(Tensor<float>& s, Tensor<std::int64_t>& counts, std::int64_t sample_rows,
                   Tensor<float>& q, Tensor<float>& loss) {
  const std::int64_t experts = s.cols(), rows = s.rows() / kSequences;
  const float denominator = static_cast<float>(kK * sample_rows);
  for (std::int64_t b = 0; b < kSequences; ++b) {
    const auto f = [&](std::int64_t e) {
      return static_cast<float>(experts * counts(b, e)) / denominator;
    };
    const float sum = plain_row_reduction<float>(experts, [&](std::int64_t e, float c) {
      float chain = 0;
      for (std::int64_t t = b * rows; t < (b + 1) * rows; ++t) {
        const float n = s(t, e) / row_sum_of(s, t);
        chain = chain + n;
      }
      const float p = chain / static_cast<float>(sample_rows);
      return std::fma(f(e), p, c);
    });
    loss[b] = kAlpha * sum;
    for (std::int64_t e = 0; e < experts; ++e) q(b, e) = kAlpha * f(e);
  }
}

void plain_backward(GateScore score, bool normalized, Routing<float>& out, Tensor<float>& dw,
                    Tensor<float>* q, Tensor<float>& dlogit) {
  const std::int64_t experts = out.s.cols();
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const auto s = [&](std::int64_t e) { return out.s(t, e); };
    const float sum = plain_sum(out, t);
    float chain = 0;
    for (std::int64_t k = 0; k < kK; ++k) {
      const float p = s(out.selected(t, k)) / sum;
      chain = std::fma(dw(t, k), p, chain);
    }
    std::vector<float> ds(static_cast<std::size_t>(experts), 0.0F);
    for (std::int64_t k = 0; k < kK; ++k) {
      const float normal = (2.5F / sum) * (dw(t, k) - chain);
      ds[static_cast<std::size_t>(out.selected(t, k))] = normalized ? normal : 2.5F * dw(t, k);
    }
    const float z = row_sum_of(out.s, t);
    const std::int64_t b = t / (kTokens / kSequences);
    for (std::int64_t e = 0; q != nullptr && e < experts; ++e) {
      const float mean = plain_row_reduction<float>(experts, [&](std::int64_t i, float c) {
        const float n = s(i) / z;
        return std::fma((*q)(b, i), n, c);
      });
      ds[static_cast<std::size_t>(e)] += ((*q)(b, e) - mean) / z;
    }
    const float mean = plain_row_reduction<float>(experts, [&](std::int64_t e, float c) {
      return std::fma(ds[static_cast<std::size_t>(e)], s(e), c);
    });
    for (std::int64_t e = 0; e < experts; ++e) {
      const float g = ds[static_cast<std::size_t>(e)];
      const float slope = s(e) * (1.0F - s(e));
      dlogit(t, e) = score == GateScore::sigmoid ? g * slope : s(e) * (g - mean);
    }
  }
}

void check(GateScore score, bool normalize, std::int64_t experts) {
  INFO("experts " << experts << ", score " << static_cast<int>(score) << ", normalize "
                  << normalize);
  const ExecSpace exec;
  std::mt19937 random(1);
  const GateRule rule = rule_of(score, normalize, experts);
  const bool normalized = normalize || score == GateScore::sigmoid;
  auto logits = Tensor<float>(kTokens, experts, 2).fill(random, 2);
  auto bias = vector_tensor<float>(experts).fill(random, 0.1);
  auto out = route(rule, logits, bias);
  auto s = out.s, weight = out.weight;
  plain_scores(score, logits, s);
  plain_weights(normalized, out, weight);
  CHECK(out.s.same_bits(s));
  CHECK(out.weight.same_bits(weight));

  Tensor<std::int64_t> counts(kSequences, experts);  // an expert with no token counts 0
  for (std::int64_t e = 0; e < experts; ++e) counts(0, e) = counts(1, e) = random() % 4;
  counts(0, 0) = 0;
  auto q = Tensor<float>(kSequences, experts, 1).fill(random);
  auto loss = vector_tensor<float>(kSequences);
  auto expected_q = q, expected_loss = loss;
  plain_balance(s, counts, 4, expected_q, expected_loss);
  gate_balance_loss<float>(exec, rule, 4, kAlpha, s.device(), counts.device(), q.device(),
                           loss.device_vector());
  finish(exec);
  q.fetch();
  loss.fetch();
  CHECK(q.same_bits(expected_q));
  CHECK(loss.same_bits(expected_loss));

  auto dw = Tensor<float>(kTokens, kK, 1).fill(random);
  auto none = Tensor<float>(0, experts);
  for (Tensor<float>* balance : {&q, &none}) {
    auto dlogit = Tensor<float>(kTokens, experts, 2).fill(random);
    auto expected = dlogit;
    plain_backward(score, normalized, out, dw, balance == &q ? &q : nullptr, expected);
    gate_backward<float>(exec, rule, dw.device(), s.device(), out.selected.device(),
                         balance->device(), dlogit.device());
    finish(exec);
    dlogit.fetch();
    CHECK(dlogit.same_bits(expected));
  }
}

}  // namespace

TEST_CASE("scores, weights, balance loss and gradients are the definition", "[gate]") {
  for (const std::int64_t experts : {3, 8, 15, 16, 17, 40}) {
    check(GateScore::sigmoid, true, experts);
    check(GateScore::softmax, false, experts);
    check(GateScore::softmax, true, experts);
  }
}

TEST_CASE("saturated scores are 1 and have no slope", "[gate]") {
  const ExecSpace exec;
  const GateRule rule = rule_of(GateScore::sigmoid, true, 4);
  auto logits = Tensor<float>(1, 4).fill_with(30.0F);
  logits(0, 1) = -1.0F;
  auto no_bias = vector_tensor<float>(0);
  auto out = route(rule, logits, no_bias);
  CHECK(out.s(0, 0) == 1.0F);
  CHECK(out.selected(0, 1) == 2);
  CHECK(out.weight(0, 0) == (1.0F / 3.0F) * 2.5F);
  auto dw = Tensor<float>(1, kK).fill_with(1.0F);
  dw(0, 0) = -2.0F;
  auto none = Tensor<float>(0, 4);
  auto dlogit = Tensor<float>(1, 4).fill_with(7.0F);
  gate_backward<float>(exec, rule, dw.device(), out.s.device(), out.selected.device(),
                       none.device(), dlogit.device());
  finish(exec);
  dlogit.fetch();
  for (std::int64_t e = 0; e < 4; ++e) CHECK(dlogit(0, e) == 0.0F);
}

TEST_CASE("a sum of scores near zero: 1e-20 keeps the weights finite", "[gate]") {
  const GateRule rule = rule_of(GateScore::sigmoid, true, 4);
  auto no_bias = vector_tensor<float>(0);
  auto tiny = Tensor<float>(1, 4).fill_with(-80.0F);  // s = 1.8e-35
  auto out = route(rule, tiny, no_bias);
  REQUIRE(out.s(0, 0) > 0.0F);
  for (std::int64_t k = 0; k < kK; ++k) {
    CHECK(out.weight(0, k) == (out.s(0, k) / 1e-20F) * 2.5F);
    CHECK(out.weight(0, k) < 1e-10F);
  }
  auto zero = Tensor<float>(1, 4).fill_with(-200.0F);  // exp overflows: s is exactly 0
  out = route(rule, zero, no_bias);
  for (std::int64_t k = 0; k < kK; ++k) {
    CHECK(out.s(0, k) == 0.0F);
    CHECK(out.weight(0, k) == 0.0F);
  }
}

TEST_CASE("the lowest token with a logit that is not finite is named", "[gate]") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const GateRule rule = rule_of(GateScore::sigmoid, true, 8);
  auto no_bias = vector_tensor<float>(0);
  for (const float bad : {std::nanf(""), kInf, -kInf}) {
    std::mt19937 random(3);
    auto logits = Tensor<float>(7, 8).fill(random);
    CHECK(route(rule, logits, no_bias).bad_token == 7);
    logits(5, 2) = bad;
    logits(3, 7) = bad;
    auto out = route(rule, logits, no_bias);
    CHECK(out.bad_token == 3);
    for (std::int64_t e = 0; e < 8; ++e) logits(3, e) = bad;
    out = route(rule, logits, no_bias);
    for (std::int64_t k = 0; k < kK; ++k) CHECK(out.selected(3, k) == k);  // still valid rows
  }
}
