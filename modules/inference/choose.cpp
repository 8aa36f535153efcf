#include "inference/choose.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/functions/functions.hpp"
#include "kernels/random/random.hpp"

namespace moray {
namespace {

/// Sets the weights that top_k and top_p exclude to 0.
void restrict_weights(std::span<const float> logits, const Sampling& sampling,
                      std::vector<double>& weights) {
  const auto all = static_cast<std::int64_t>(weights.size());
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  std::int64_t kept = sampling.top_k > 0 ? std::min(sampling.top_k, all) : all;
  double total = 0;
  for (std::int64_t i = 0; i < kept; ++i) total += weights[order[static_cast<std::size_t>(i)]];
  double sum = 0;
  for (std::int64_t i = 0; i < kept; ++i) {
    sum += weights[order[static_cast<std::size_t>(i)]];
    if (sum >= sampling.top_p * total) kept = i + 1;
  }
  for (auto i = static_cast<std::size_t>(kept); i < order.size(); ++i) weights[order[i]] = 0;
}

}  // namespace

std::int32_t choose_token(std::span<const float> logits, const Sampling& sampling,
                          std::int64_t position) {
  const auto highest = std::max_element(logits.begin(), logits.end());
  if (sampling.temperature <= 0) return static_cast<std::int32_t>(highest - logits.begin());
  const float scale = static_cast<float>(1 / sampling.temperature);
  std::vector<double> weights;
  for (const float logit : logits)
    weights.push_back(static_cast<double>(exp_exact((logit - *highest) * scale)));
  if (sampling.top_k > 0 || sampling.top_p < 1) restrict_weights(logits, sampling, weights);
  double total = 0;
  for (const double weight : weights) total += weight;
  const RandomWords words =
      random_words(random_key("sampling", sampling.seed), static_cast<std::uint64_t>(position));
  const double u = static_cast<double>(words.word[0]) * 0x1p-32 * total;
  double sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (sum > u) return static_cast<std::int32_t>(i);
  }
  return static_cast<std::int32_t>(highest - logits.begin());
}

}  // namespace moray
