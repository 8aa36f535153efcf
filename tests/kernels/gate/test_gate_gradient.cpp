#include "catch.hpp"
#include "kernels/central_differences.hpp"
#include "kernels/gate/routing.hpp"

using namespace moray;
using namespace moray::test;

namespace {

constexpr std::int64_t kTokens = 6, kSequences = 2, kExperts = 12, kK = 3;
constexpr std::int64_t kSampleRows = 4;  // one more than a sequence's rows, as under MTP

/// Logits whose selected experts lead by far, so that a small step changes no choice: the routing
/// is frozen, as the definition of the gradient wants it.
Tensor<double> clear_logits(std::mt19937& random) {
  auto logits = Tensor<double>(kTokens, kExperts).fill(random, 0.3);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (std::int64_t k = 0; k < kK; ++k) logits(t, (5 * t + 4 * k) % kExperts) += 3;
  }
  return logits;
}

void check(GateScore score, bool normalize, double alpha) {
  INFO("score " << static_cast<int>(score) << ", normalize " << normalize << ", alpha " << alpha);
  const ExecSpace exec;
  std::mt19937 random(1);
  const GateRule rule = {.score = score,
                         .experts = kExperts,
                         .top_k = kK,
                         .groups = 3,
                         .top_groups = 3,
                         .normalize = normalize,
                         .scale = 2.5};
  auto logits = clear_logits(random);
  auto no_bias = vector_tensor<double>(0);
  auto dw = Tensor<double>(kTokens, kK).fill(random);
  auto start = route(rule, logits, no_bias);
  Tensor<std::int64_t> counts(kSequences, kExperts);
  gate_unlimited_counts<double>(exec, kK, start.s.device(), counts.device());
  finish(exec);
  counts.fetch();
  Tensor<double> q(kSequences, kExperts);
  auto losses = vector_tensor<double>(kSequences);
  // Gradients are those of the sum over tokens, divided by N T in the optimizer; L_bal, a mean over
  // the N sequences, comes with the T of the sample.
  auto rows = vector_tensor<double>(kSequences).fill_with(kSampleRows);
  const auto loss = [&] {
    auto out = route(rule, logits, no_bias);
    REQUIRE(out.selected.same_bits(start.selected));
    gate_balance_loss<double>(exec, rule, kSampleRows, alpha, out.s.device(), counts.device(),
                              q.device(), losses.device_vector());
    finish(exec);
    losses.fetch();
    q.fetch();
    return dot(out.weight, dw) + dot(losses, rows);
  };
  loss();
  Tensor<double> dlogit(kTokens, kExperts);
  gate_backward<double>(exec, rule, dw.device(), start.s.device(), start.selected.device(),
                        q.device(), dlogit.device());
  finish(exec);
  dlogit.fetch();
  CHECK(worst_direction(logits, dlogit, random, loss) <= kDirectionBar);
}

}  // namespace

TEST_CASE("gate backward agrees with central differences, routing frozen", "[gate]") {
  for (const double alpha : {0.0, 0.8}) {
    check(GateScore::sigmoid, true, alpha);
    check(GateScore::softmax, false, alpha);
    check(GateScore::softmax, true, alpha);
  }
}
