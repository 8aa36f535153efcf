#include <algorithm>
#include <numeric>

#include "catch.hpp"
#include "kernels/gate/routing.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// The `count` highest of the listed indices, the higher value first, ties to the lower index:
/// a stable sort, which the kernel does not do.
std::vector<std::int32_t> highest(std::vector<std::int32_t> indices,
                                  const std::vector<float>& value, std::int64_t count) {
  std::stable_sort(indices.begin(), indices.end(), [&](std::int32_t a, std::int32_t b) {
    return value[static_cast<std::size_t>(a)] > value[static_cast<std::size_t>(b)];
  });
  indices.resize(static_cast<std::size_t>(count));
  std::sort(indices.begin(), indices.end());
  return indices;
}

std::vector<std::int32_t> first(std::int64_t count) {
  std::vector<std::int32_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

/// Brute force: sorts the groups, lists the experts of the best ones, sorts those.
std::vector<std::int32_t> brute_force(const GateRule& rule, const std::vector<float>& choice) {
  const std::int64_t size = rule.experts / rule.groups;
  std::vector<float> group(static_cast<std::size_t>(rule.groups));
  for (std::int64_t g = 0; g < rule.groups; ++g) {
    std::vector<float> members(choice.begin() + g * size, choice.begin() + (g + 1) * size);
    std::sort(members.rbegin(), members.rend());
    const bool pair = rule.score == GateScore::sigmoid && size > 1;
    group[static_cast<std::size_t>(g)] = pair ? members[0] + members[1] : members[0];
  }
  std::vector<std::int32_t> candidates;
  for (const std::int32_t g : highest(first(rule.groups), group, rule.top_groups)) {
    for (std::int64_t i = 0; i < size; ++i) {
      candidates.push_back(static_cast<std::int32_t>(g * size + i));
    }
  }
  return highest(candidates, choice, rule.top_k);
}

/// All words of `length` letters.
Tensor<float> all_words(const std::vector<float>& letters, std::int64_t length) {
  std::int64_t count = 1;
  for (std::int64_t i = 0; i < length; ++i) count *= static_cast<std::int64_t>(letters.size());
  Tensor<float> words(count, length);
  for (std::int64_t w = 0; w < count; ++w) {
    std::int64_t rest = w;
    for (std::int64_t i = 0; i < length; ++i) {
      words(w, i) = letters[static_cast<std::size_t>(rest) % letters.size()];
      rest /= static_cast<std::int64_t>(letters.size());
    }
  }
  return words;
}

/// Every combination of the logits with every combination of the biases.
void exhaust(const GateRule& rule, const std::vector<float>& logit_values,
             const std::vector<float>& bias_values) {
  INFO("experts " << rule.experts << ", K " << rule.top_k << ", groups " << rule.top_groups
                  << " of " << rule.groups << ", score " << static_cast<int>(rule.score));
  auto logits = all_words(logit_values, rule.experts);
  auto biases = all_words(bias_values, rule.experts);
  std::vector<float> choice(static_cast<std::size_t>(rule.experts));
  std::int64_t wrong = 0;
  for (std::int64_t b = 0; b < biases.rows(); ++b) {
    auto bias = vector_tensor<float>(rule.experts);
    for (std::int64_t e = 0; e < rule.experts; ++e) bias[e] = biases(b, e);
    auto out = route(rule, logits, bias);
    for (std::int64_t t = 0; t < logits.rows(); ++t) {
      for (std::int64_t e = 0; e < rule.experts; ++e) {
        choice[static_cast<std::size_t>(e)] = out.s(t, e) + bias[e];
      }
      const auto expected = brute_force(rule, choice);
      for (std::int64_t k = 0; k < rule.top_k; ++k) {
        wrong += out.selected(t, k) != expected[static_cast<std::size_t>(k)];
      }
    }
  }
  CHECK(wrong == 0);
}

GateRule rule_of(GateScore score, std::int64_t experts, std::int64_t k, std::int64_t groups,
                 std::int64_t top_groups) {
  return {
      .score = score, .experts = experts, .top_k = k, .groups = groups, .top_groups = top_groups};
}

struct Sizes {
  std::int64_t experts, k, groups, top_groups;
};

void exhaust_all(const std::vector<Sizes>& sizes, const std::vector<float>& logit_values,
                 const std::vector<float>& bias_values) {
  for (const GateScore score : {GateScore::sigmoid, GateScore::softmax}) {
    for (const Sizes& each : sizes) {
      exhaust(rule_of(score, each.experts, each.k, each.groups, each.top_groups), logit_values,
              bias_values);
    }
  }
}

}  // namespace

// Few values, so that most rows have ties; biases that make every choice of a group negative, so
// that a dropped group which counted as 0 instead of -inf would win.
TEST_CASE("selection equals brute force on every combination", "[gate]") {
  exhaust_all({{4, 2, 1, 1}, {4, 2, 2, 1}, {4, 1, 2, 1}, {4, 2, 4, 2}, {4, 4, 2, 2}, {4, 3, 4, 3}},
              {-1, 0, 2}, {-2, 0, 0.25F});
  exhaust_all({{6, 3, 3, 2}, {6, 2, 2, 1}, {6, 3, 2, 1}, {6, 2, 1, 1}, {6, 5, 3, 3}}, {-1, 2},
              {-2, 0.5F});
}

TEST_CASE("selection equals brute force on every combination, larger", "[gate][long]") {
  exhaust_all({{6, 3, 3, 2}, {6, 2, 2, 1}, {6, 4, 3, 2}, {6, 2, 6, 3}, {6, 1, 1, 1}}, {-1, 0, 2},
              {-2, 0, 0.25F});
  exhaust_all({{8, 2, 4, 2}, {8, 3, 2, 1}, {8, 6, 4, 3}}, {-1, 2}, {-2, 0.5F});
}

TEST_CASE("selection equals brute force at the sizes of DeepSeek-V3", "[gate]") {
  std::mt19937 random(1);
  const GateRule rule = rule_of(GateScore::sigmoid, 256, 8, 8, 4);
  auto logits = Tensor<float>(50, 256).fill(random);
  auto bias = vector_tensor<float>(256).fill(random, 0.1);
  auto out = route(rule, logits, bias);
  CHECK(out.bad_token == 50);
  for (std::int64_t t = 0; t < 50; ++t) {
    std::vector<float> choice(256);
    for (std::int64_t e = 0; e < 256; ++e) {
      choice[static_cast<std::size_t>(e)] = out.s(t, e) + bias[e];
    }
    const auto expected = brute_force(rule, choice);
    for (std::int64_t k = 0; k < 8; ++k) {
      CHECK(out.selected(t, k) == expected[static_cast<std::size_t>(k)]);
    }
  }
}

TEST_CASE("equal choices go to the lower index, for groups and experts", "[gate]") {
  auto logits = Tensor<float>(1, 8);
  auto no_bias = vector_tensor<float>(0);
  auto out = route(rule_of(GateScore::sigmoid, 8, 3, 4, 2), logits, no_bias);
  for (std::int64_t k = 0; k < 3; ++k) CHECK(out.selected(0, k) == k);
  logits(0, 7) = 1;  // the last group leads; the first is next
  out = route(rule_of(GateScore::sigmoid, 8, 3, 4, 2), logits, no_bias);
  CHECK(out.selected(0, 0) == 0);
  CHECK(out.selected(0, 1) == 1);
  CHECK(out.selected(0, 2) == 7);
}

TEST_CASE("counts of the balance loss know neither bias nor groups", "[gate]") {
  const ExecSpace exec;
  std::mt19937 random(2);
  const std::int64_t tokens = 12, experts = 9, k = 3, sequences = 3;
  auto s = Tensor<float>(tokens, experts, 2);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t e = 0; e < experts; ++e) s(t, e) = static_cast<float>(random() % 3) / 4.0F;
  }
  auto counts = Tensor<std::int64_t>(sequences, experts).fill_with(5);
  auto expected = counts;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::vector<float> row(s.host().row(t), s.host().row(t) + experts);
    for (const std::int32_t e : highest(first(experts), row, k)) ++expected(t / 4, e);
  }
  gate_unlimited_counts<float>(exec, k, s.device(), counts.device());
  finish(exec);
  counts.fetch();
  CHECK(counts.same_bits(expected));
}
