#include "inference/generate.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/random/random.hpp"

namespace moray {

std::int32_t choose_token(std::span<const float> logits, const Sampling& sampling,
                          std::int64_t position) {
  const auto highest = std::max_element(logits.begin(), logits.end());
  if (sampling.temperature <= 0) return static_cast<std::int32_t>(highest - logits.begin());
  const float scale = static_cast<float>(1 / sampling.temperature);
  const auto weight = [&](float logit) {
    return static_cast<double>(exp_exact((logit - *highest) * scale));
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  const RandomWords words =
      random_words(random_key("sampling", sampling.seed), static_cast<std::uint64_t>(position));
  const double u = static_cast<double>(words.word[0]) * 0x1p-32 * total;
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    sum += weight(logits[i]);
    if (sum > u) return static_cast<std::int32_t>(i);
  }
  return static_cast<std::int32_t>(highest - logits.begin());
}

void generate(Model<float>& model, Pass<float>& pass, const Sampling& sampling, std::int64_t count,
              std::vector<std::int32_t>& tokens, const std::function<void(std::int32_t)>& emit) {
  MORAY_REQUIRE(!tokens.empty());
  const ModelUse& use = model.use();
  BatchLayout batch(use.sequences);
  batch.assign(Deal{}, 0, use.sequences);
  std::vector<std::int32_t> window(static_cast<std::size_t>(use.sequences * (use.rows + 1)), 0);
  std::vector<float> logits(static_cast<std::size_t>(model.config().model.vocabulary));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto length = std::min(use.rows, static_cast<std::int64_t>(tokens.size()));
    std::copy(tokens.end() - length, tokens.end(), window.begin());
    model.forward(pass, batch, window, {0, Routing::evaluate});
    model.row_logits(pass, 0, length - 1, logits);
    const std::int32_t next =
        choose_token(logits, sampling, static_cast<std::int64_t>(tokens.size()));
    tokens.push_back(next);
    emit(next);
  }
}

}  // namespace moray
