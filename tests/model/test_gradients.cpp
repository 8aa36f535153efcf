// The whole backward in float64 against central differences of the whole forward: every tensor of
// models that together use every part, with the routing of the first forward kept.
#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "small_models.hpp"

using namespace moray;
using namespace moray::test;

namespace {

struct Case {
  const char* name;
  std::int64_t query_latent;
  bool softmax;
  std::int64_t depth;
  bool yarn;
};

constexpr std::int64_t kSequences = 2;
constexpr std::int64_t kRows = 7;
constexpr double kLambda = 0.15;

/// Sum of token losses, MTP's weighted, plus T times the balance losses: what backward derives.
double objective(TestModel<double>& test, Pass<double>& pass, const BatchLayout& batch,
                 const std::vector<std::int32_t>& tokens, Routing routing) {
  test.model.forward(pass, batch, tokens, {kLambda, routing});
  double total = 0;
  for (std::int64_t s = 0; s < kSequences; ++s) {
    for (std::int64_t use = 0; use <= test.model.depth(); ++use) {
      const auto losses = test.model.losses(s, use);
      for (std::int64_t i = 0; i < losses.size; ++i) total += (use == 0 ? 1 : kLambda) * losses[i];
    }
    for (std::size_t layer = 0; layer < test.model.moe_layers().size(); ++layer) {
      total += static_cast<double>(kRows) *
               test.model.balance_losses(static_cast<std::int64_t>(layer))[s];
    }
  }
  return total;
}

/// d objective / d step along `direction` of one tensor: central differences, extrapolated twice.
template <class Evaluate>
double derivative(const Vector<double>& values, const std::vector<double>& direction,
                  const Evaluate& evaluate) {
  const std::vector<double> start(values.data, values.data + values.size);
  const auto at = [&](double step) {
    for (std::int64_t i = 0; i < values.size; ++i)
      values[i] =
          start[static_cast<std::size_t>(i)] + step * direction[static_cast<std::size_t>(i)];
    return evaluate();
  };
  // Errors of order h^2 and h^4 are extrapolated away; the step balances h^6 against rounding.
  const double h = 2e-2;
  const auto central = [&](double step) { return (at(step) - at(-step)) / (2 * step); };
  const double d1 = central(h);
  const double d2 = central(h / 2);
  const double d4 = central(h / 4);
  for (std::int64_t i = 0; i < values.size; ++i) values[i] = start[static_cast<std::size_t>(i)];
  const double e1 = (4 * d2 - d1) / 3;
  const double e2 = (4 * d4 - d2) / 3;
  return (16 * e2 - e1) / 15;
}

}  // namespace

TEST_CASE("every gradient equals central differences in float64", "[model][gradients]") {
  const Case c = GENERATE(Case{"plain query", 0, false, 0, false},
                          Case{"query compression, MTP", 6, false, 2, false},
                          Case{"softmax gate, YaRN", 0, true, 1, true});
  const bool recompute = GENERATE(true, false);
  INFO(c.name);
  TestModel<double> test(
      small_config(c.query_latent, c.softmax, c.depth, c.yarn),
      {.sequences = kSequences, .rows = kRows, .training = true, .recompute = recompute});
  test.randomize(5, 0.2);
  Pass<double> pass;
  BatchLayout batch(kSequences);
  batch.assign(Deal{}, 0, kSequences);
  const auto tokens = random_tokens(9, kSequences * (kRows + 1), 11);
  objective(test, pass, batch, tokens, Routing::evaluate);
  test.model.clear_gradients(pass.exec);
  test.model.backward(pass, batch, {kLambda, Routing::evaluate});
  for (const Matrix<double>& use : test.model.embedding_uses()) {
    const Matrix<double> total = test.model.parameters().gradient(test.model.embedding(), 0);
    for (std::int64_t i = 0; i < use.cols; ++i) total.data[i] += use.data[i];
  }

  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  double worst = 0;
  for (const Parameter& p : test.model.parameters().list()) {
    const Vector<double> values = test.model.parameters().values(p);
    const Vector<double> gradient = test.model.parameters().gradient(p, 0);
    for (int trial = 0; trial < 8; ++trial) {
      std::vector<double> direction;
      double expected = 0;
      double length = 0;
      for (std::int64_t i = 0; i < values.size; ++i) {
        direction.push_back(normal(random));
        length += direction.back() * direction.back();
      }
      for (std::int64_t i = 0; i < values.size; ++i) {
        direction[static_cast<std::size_t>(i)] /= std::sqrt(length);
        expected += gradient[i] * direction[static_cast<std::size_t>(i)];
      }
      const double measured = derivative(
          values, direction, [&] { return objective(test, pass, batch, tokens, Routing::replay); });
      const double scale = std::max(std::abs(expected), std::abs(measured));
      INFO(p.name << " expected " << expected << " measured " << measured);
      // An expert that got no token has no gradient on either side.
      const double error = scale < 1e-12 ? 0.0 : std::abs(expected - measured) / scale;
      worst = std::max(worst, error);
      CHECK(error <= 1e-7);
    }
  }
  INFO("worst relative error " << worst);
  CHECK(worst > 0);
}
