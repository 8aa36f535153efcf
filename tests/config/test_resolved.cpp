#include <filesystem>

#include "catch.hpp"
#include "core/error.hpp"
#include "deck_text.hpp"

using namespace moray;

TEST_CASE("a resolved deck reads back as the same deck", "[resolved]") {
  const std::string text = changed("data: {synthetic: keyed}",
                                   "data:\n  sources:\n    - {paths: [a, b c], weight: 0.1}\n"
                                   "    - {paths: /d, max_epochs: 2}\n  fim_rate: 1e-1\n"
                                   "samples: {tokens: 3, prompt: \"a\\n\\\"\\\\\\t\xc3\xa9\"}\n"
                                   "learning_rate: {warmup: 3e3 samples, constant: 469e9 tokens}\n"
                                   "optimizer: {no_decay: []}\n"
                                   "user: {free: [1, two, {three: \"3\"}]}");
  const DeckReading once = read_deck_text(text, "deck.yaml", {"run.seed=18446744073709551615"});
  REQUIRE(once.problems.empty());
  REQUIRE(once.deck.data.sources.size() == 2);
  const DeckReading twice = read_deck_text(once.resolved, "elsewhere/resolved.yaml");
  REQUIRE(twice.problems.empty());
  CHECK(twice.deck == once.deck);
  CHECK(once.resolved.find("user: {free: [1, two, {three: \"3\"}]}\n") != std::string::npos);
  CHECK(twice.resolved.find("user: {free: [1, two, {three: \"3\"}]}\n") != std::string::npos);
}

TEST_CASE("a resolved deck says where each value comes from", "[resolved]") {
  const DeckReading reading = read_deck_text(kGoodDeck, "deck.yaml", {"parallel.lanes=4"}, 2);
  const DeckReading fits =
      read_deck_text(kGoodDeck, "deck.yaml", {"parallel.lanes=4", "parallel.expert_lanes=4"}, 2);
  CHECK(!reading.problems.empty());
  CHECK(reading.resolved.empty());
  const auto has = [&](const char* line) { return fits.resolved.find(line) != std::string::npos; };
  CHECK(has("  width: 32                               # deck.yaml:4:10\n"));
  CHECK(has("  lanes: 4                                # command line\n"));
  CHECK(has("  ranks: 2                                # ranks launched\n"));
  CHECK(has("  name: \"deck\"                            # default\n"));
  CHECK(has("    factor: 1                             # default\n"));
}

TEST_CASE("resuming with another fixed key names both values and the way out", "[resolved]") {
  const auto resolved = [](const std::vector<std::string>& overrides) {
    const DeckReading reading = read_deck_text(kGoodDeck, "deck.yaml", overrides);
    REQUIRE(reading.problems.empty());
    return reading.resolved;
  };
  const std::string then = resolved({});
  CHECK_NOTHROW(require_resumable(
      then,
      resolved({"run.length=40", "output.log_every=7", "batch.micro=2", "learning_rate.peak=1e-3",
                "checkpoint.every=5", "run.name=other"}),
      "step_7", "a.yaml"));
  CHECK_THROWS_WITH(
      require_resumable(then, resolved({"run.seed=7", "parallel.lanes=2", "model.init_std=0.02"}),
                        "step_7", "a.yaml"),
      "step_7: cannot be resumed with a.yaml:\n"
      "  run.seed: 1234 in the checkpoint, 7 now\n"
      "  model.init_std: 0.006 in the checkpoint, 0.02 now\n"
      "  parallel.lanes: 1 in the checkpoint, 2 now\n"
      "These keys are fixed on resume. Set them back, or start a new run from its weights with "
      "`init: "
      "{from: CHECKPOINT}`.");
  for (const char* fixed : {"batch.sequences=4", "batch.length=16", "attention.heads=4",
                            "run.determinism=run", "data.fim_rate=0.5", "optimizer.moments=bf16"})
    CHECK_THROWS_AS(require_resumable(then, resolved({fixed}), "step_7", "a.yaml"), Error);
}

TEST_CASE("every deck of the project resolves and reads back", "[resolved]") {
  int decks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MORAY_INPUT_FOLDER)) {
    if (entry.path().extension() != ".yaml") continue;
    if (entry.path().parent_path().filename() == "hardware") continue;  // a machine, no deck
    ++decks;
    CAPTURE(entry.path().string());
    const DeckReading once = try_read_deck(entry.path().string());
    CHECK(once.text.substr(0, 2) == "# ");  // purpose, hardware, duration, expected result
    REQUIRE(once.problems.empty());
    CHECK(read_deck_text(once.resolved, "resolved.yaml").deck == once.deck);
  }
  CHECK(decks >= 7);
}
