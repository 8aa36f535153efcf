#include "inference/generate.hpp"

#include <cmath>

#include "catch.hpp"
#include "model/small_models.hpp"

using namespace moray;
using namespace moray::test;

namespace {

using Tokens = std::vector<std::int32_t>;

struct Generator {
  explicit Generator(std::int64_t context)
      : config(small_config(6, false, 1, false)),
        context_(context),
        test(config, {.sequences = 1, .rows = 16, .training = false}) {
    test.randomize(5, 0.5);
  }
  /// The tokens that each prompt is continued with.
  std::vector<Tokens> run(std::vector<Tokens> prompts, const Sampling& sampling, std::int64_t count,
                          std::int64_t chunk = 1) {
    Decoder<float> decoder(config, static_cast<std::int64_t>(prompts.size()), context_, chunk);
    Arena plan;
    decoder.allocate(plan, &test.model);
    Arena arena;
    arena.reserve(plan);
    decoder.allocate(arena, &test.model);
    decoder.start();
    Pass<float> pass;
    std::vector<Tokens> made(prompts.size());
    generate(decoder, pass, sampling, count, prompts, [&](std::int64_t s, std::int32_t token) {
      made[static_cast<std::size_t>(s)].push_back(token);
      return true;
    });
    return made;
  }
  ModelConfig config;
  std::int64_t context_;
  TestModel<float> test;
};

}  // namespace

TEST_CASE("greedy text is that of the whole forward", "[generate]") {
  Generator g(16);
  Tokens tokens = {1, 2, 3};
  const Tokens made = g.run({tokens}, {}, 10)[0];
  REQUIRE(made.size() == 10);
  BatchLayout batch(1);
  batch.assign(Deal{}, 0, 1);
  Pass<float> pass;
  std::vector<float> logits(static_cast<std::size_t>(g.config.model.vocabulary));
  for (const std::int32_t token : made) {
    Tokens window = tokens;
    window.resize(17);
    g.test.model.forward(pass, batch, window, {0, Routing::evaluate});
    g.test.model.row_logits(pass, 0, static_cast<std::int64_t>(tokens.size()) - 1, logits);
    CHECK(choose_token(logits, {}, 0) == token);
    tokens.push_back(token);
  }
}

TEST_CASE("a prompt gives the same tokens alone, in a batch, in chunks, and again", "[generate]") {
  Generator g(8);  // the context fills up on the way
  const std::vector<Tokens> prompts = {{1}, {2, 3, 4, 5, 6}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}};
  const Sampling warm{.temperature = 1.5, .seed = 42, .top_k = 7, .top_p = 0.95};
  for (const Sampling& sampling : {Sampling{}, warm}) {
    const std::vector<Tokens> together = g.run(prompts, sampling, 21);
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      CHECK(together[s].size() == 21);
      CHECK(g.run({prompts[s]}, sampling, 21)[0] == together[s]);
      CHECK(g.run({prompts[s]}, sampling, 21, 3)[0] == together[s]);
    }
    for (const std::int64_t chunk : {2, 4, 8})
      CHECK(g.run(prompts, sampling, 21, chunk) == together);
  }
  CHECK(g.run({prompts[0]}, warm, 21) != g.run({prompts[0]}, {.temperature = 1.5, .seed = 43}, 21));
}

TEST_CASE("of a long prompt the end is read", "[generate]") {
  Generator g(4);
  CHECK(g.run({{9, 9, 1, 2, 3, 4}}, {}, 3) == g.run({{1, 2, 3, 4}}, {}, 3));
  CHECK(g.run({{1, 2, 3, 4}}, {}, 0)[0].empty());
}

TEST_CASE("draws follow the probabilities that top_k and top_p leave", "[generate]") {
  // Probabilities 0.4, 0.1, 0.4, 0.1.
  const float big = std::log(4.0f);
  const std::vector<float> logits = {big, 0, big, 0};
  const auto counts = [&](const Sampling& sampling) {
    std::vector<int> count(4);
    for (std::int64_t i = 0; i < 4000; ++i)
      ++count[static_cast<std::size_t>(choose_token(logits, sampling, i))];
    return count;
  };
  CHECK(choose_token(logits, {}, 0) == 0);  // greedy: the lower index on ties
  const std::vector<int> all = counts({.temperature = 1, .seed = 1});
  CHECK(std::abs(all[0] - 1600) < 150);
  CHECK(std::abs(all[1] - 400) < 100);
  const std::vector<int> two = counts({.temperature = 1, .seed = 1, .top_k = 2});
  CHECK(two[1] + two[3] == 0);
  CHECK(std::abs(two[0] - 2000) < 150);
  CHECK(counts({.temperature = 1, .seed = 1, .top_k = 1})[0] == 4000);
  CHECK(counts({.temperature = 1, .seed = 1, .top_p = 0.3})[0] == 4000);
  const std::vector<int> most = counts({.temperature = 1, .seed = 1, .top_p = 0.85});
  CHECK(most[3] == 0);
  CHECK(most[1] > 0);
}
