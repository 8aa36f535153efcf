// Decoding with the latent cache against the forward that training uses.
#include <algorithm>
#include <cstring>

#include "catch.hpp"
#include "inference/decoder.hpp"
#include "model/small_models.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// A decoder with its memory, of weights that `test` has.
template <class Real>
struct TestDecoder {
  TestDecoder(const TestModel<Real>& test, std::int64_t sequences, std::int64_t context,
              std::int64_t chunk = 1)
      : decoder(test.model.config(), sequences, context, chunk) {
    Arena plan;
    decoder.allocate(plan, &test.model);
    arena.reserve(plan);
    decoder.allocate(arena, &test.model);
    decoder.start();
  }
  std::vector<Real> step(std::span<const std::int32_t> tokens) {
    decoder.step(pass, tokens, true);
    const auto vocabulary = static_cast<std::size_t>(decoder.model().config().model.vocabulary);
    std::vector<Real> all(tokens.size() * vocabulary);
    for (std::size_t s = 0; s < tokens.size(); ++s) {
      decoder.logits(pass, static_cast<std::int64_t>(s),
                     std::span(all).subspan(s * vocabulary, vocabulary));
    }
    return all;
  }
  Arena arena;
  Decoder<Real> decoder;
  Pass<Real> pass;
};

/// Largest difference between both paths over all positions, by the largest logit.
template <class Real>
double difference(const ModelConfig& config) {
  constexpr std::int64_t kRows = 13;
  const auto vocabulary = static_cast<std::size_t>(config.model.vocabulary);
  TestModel<Real> test(config, {.sequences = 1, .rows = kRows, .training = false});
  test.randomize(5, 0.3);
  const std::vector<std::int32_t> tokens = random_tokens(7, kRows + 1, config.model.vocabulary);
  BatchLayout batch(1);
  batch.assign(Deal{}, 0, 1);
  Pass<Real> pass;
  test.model.forward(pass, batch, tokens, {0, Routing::evaluate});
  TestDecoder<Real> absorbed(test, 1, kRows);
  double worst = 0;
  double largest = 0;
  std::vector<Real> naive(vocabulary);
  for (std::int64_t i = 0; i < kRows; ++i) {
    test.model.row_logits(pass, 0, i, naive);
    const std::vector<Real> ours =
        absorbed.step(std::span(tokens).subspan(static_cast<std::size_t>(i), 1));
    for (std::size_t v = 0; v < vocabulary; ++v) {
      worst = std::max(worst, std::abs(static_cast<double>(naive[v] - ours[v])));
      largest = std::max(largest, std::abs(static_cast<double>(naive[v])));
    }
  }
  return worst / largest;
}

}  // namespace

TEST_CASE("the absorbed path is the naive one up to rounding", "[decoder]") {
  for (const std::int64_t query_latent : {0, 6}) {
    for (const bool softmax : {false, true}) {
      for (const bool yarn : {false, true}) {
        CAPTURE(query_latent, softmax, yarn);
        const ModelConfig config = small_config(query_latent, softmax, 1, yarn);
        CHECK(difference<double>(config) <= 1e-13);
        CHECK(difference<float>(config) <= 1e-5);
      }
    }
  }
}

TEST_CASE("a sequence has the same bits beside others", "[decoder]") {
  const ModelConfig config = small_config(6, false, 0, false);
  TestModel<float> test(config, {.sequences = 1, .rows = 8, .training = false});
  test.randomize(5, 0.3);
  constexpr std::int64_t kBatch = 3;
  const std::vector<std::int32_t> tokens = random_tokens(9, 8 * kBatch, config.model.vocabulary);
  const auto vocabulary = static_cast<std::size_t>(config.model.vocabulary);
  TestDecoder<float> all(test, kBatch, 8);
  std::vector<std::vector<float>> together;
  for (std::size_t i = 0; i < 8; ++i)
    together.push_back(all.step(std::span(tokens).subspan(i * kBatch, kBatch)));
  for (std::size_t s = 0; s < kBatch; ++s) {
    TestDecoder<float> one(test, 1, 11);
    for (std::size_t i = 0; i < 8; ++i) {
      const std::vector<float> alone = one.step(std::span(tokens).subspan(i * kBatch + s, 1));
      CHECK(std::memcmp(alone.data(), together[i].data() + s * vocabulary,
                        vocabulary * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("text read in chunks gives the bits of text read token by token", "[decoder]") {
  for (const std::int64_t query_latent : {0, 6}) {
    const ModelConfig config = small_config(query_latent, false, 1, query_latent > 0);
    TestModel<float> test(config, {.sequences = 1, .rows = 8, .training = false});
    test.randomize(5, 0.3);
    constexpr std::size_t kBatch = 2;
    constexpr std::size_t kRows = 11;
    const std::vector<std::int32_t> tokens =
        random_tokens(9, kRows * kBatch, config.model.vocabulary);
    TestDecoder<float> one(test, kBatch, kRows);
    std::vector<float> expected;
    for (std::size_t i = 0; i < kRows; ++i)
      expected = one.step(std::span(tokens).subspan(i * kBatch, kBatch));
    for (const std::size_t chunk : {2, 3, 5}) {
      CAPTURE(query_latent, chunk);
      TestDecoder<float> many(test, kBatch, kRows, static_cast<std::int64_t>(chunk));
      std::size_t i = 0;
      for (; i + chunk < kRows; i += chunk) {
        std::vector<std::int32_t> part;  // (sequences, chunk)
        for (std::size_t s = 0; s < kBatch; ++s)
          for (std::size_t j = i; j < i + chunk; ++j) part.push_back(tokens[j * kBatch + s]);
        many.decoder.read(many.pass, part);
      }
      std::vector<float> last;
      for (; i < kRows; ++i) last = many.step(std::span(tokens).subspan(i * kBatch, kBatch));
      CHECK(many.decoder.position() == static_cast<std::int64_t>(kRows));
      REQUIRE(last.size() == expected.size());
      CHECK(std::memcmp(last.data(), expected.data(), last.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("the cache holds c + rope elements a token and layer", "[decoder]") {
  const ModelConfig config = small_config(0, false, 1, false);
  const auto bytes = [&](std::int64_t context) {
    Model<float> model(config);
    Arena lender_plan;
    model.allocate(lender_plan, {.training = false});
    Decoder<float> decoder(config, 1, context);
    Arena plan;
    decoder.allocate(plan, &model);
    CHECK(plan.bytes(Memory::gradients) == 0);
    return plan.bytes(Memory::activations);
  };
  const AttentionConfig& a = config.attention;
  // 16 positions make each buffer a multiple of the arena's 64 bytes.
  CHECK(bytes(32) - bytes(16) ==
        16 * config.model.layers * (a.latent + a.rope_width) * std::int64_t{sizeof(float)});
}
