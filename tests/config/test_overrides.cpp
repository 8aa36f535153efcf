#include <filesystem>

#include "catch.hpp"
#include "deck_text.hpp"

using namespace moray;

TEST_CASE("the command line goes before the deck, the deck before the default", "[overrides]") {
  const auto read = [](const std::vector<std::string>& overrides) {
    return read_deck_text(changed("heads: 2", "heads: 2, latent: 48"), "deck.yaml", overrides).deck;
  };
  CHECK(Deck{}.model.attention.latent == 512);
  CHECK(read({}).model.attention.latent == 48);
  CHECK(read({"attention.latent=64"}).model.attention.latent == 64);
  CHECK(read({"attention.latent=64", "attention.latent=80"}).model.attention.latent == 80);
  CHECK(read({"attention={heads: 4}"}).model.attention.heads == 4);
  CHECK(read({"attention={heads: 4}"}).model.attention.latent == 512);
}

TEST_CASE("a value instead of a section is that of its first key", "[overrides]") {
  const std::string deck = std::string(kGoodDeck) + "precision: bf16\n";
  const auto read = [&](const std::vector<std::string>& overrides) {
    const DeckReading reading = read_deck_text(deck, "deck.yaml", overrides);
    CHECK(reading.problems.empty());
    return reading.deck.model.precision;
  };
  CHECK(read({}).compute == "bf16");
  CHECK(read({"precision.swiglu_input=float32"}).compute == "bf16");
  CHECK(read({"precision.swiglu_input=float32"}).swiglu_input == "float32");
  CHECK(read({"precision=float32"}).compute == "float32");
  CHECK(read({"precision=float32", "precision.compute=bf16"}).compute == "bf16");
  const auto resolved = read_deck_text(deck, "deck.yaml", {}).resolved;
  CHECK(resolved.find("\nprecision:\n") != std::string::npos);
  CHECK(errors_of(kGoodDeck, {"precision=fp9"}) ==
        Lines{"command line: precision.compute = 'fp9' is no choice; did you mean 'fp8'? (one of "
              "float32, bf16, fp8, default \"float32\")"});
  CHECK(errors_of(kGoodDeck, {"precision=[bf16]"}) ==
        Lines{"command line: 'precision' takes a map of keys"});
}

TEST_CASE("sections that the deck lacks can be set", "[overrides]") {
  const auto reading = read_deck_text(kGoodDeck, "deck.yaml",
                                      {"attention.yarn.factor=1.0", "optimizer.no_decay=[a, b]",
                                       "run.length=3e3 tokens", "run.name="});
  CHECK(reading.problems.empty());
  CHECK(reading.deck.optimizer.no_decay == std::vector<std::string>{"a", "b"});
  CHECK(reading.deck.length == Amount{3000, Amount::Unit::tokens});
  CHECK(reading.deck.run.name == "deck");
}

TEST_CASE("an override repairs a wrong value of the deck", "[overrides]") {
  const std::string text = changed("width: 32", "width: wide");
  CHECK(errors_of(text).size() == 1);
  CHECK(errors_of(text, {"model.width=32"}) == Lines{});
}

TEST_CASE("overrides that make no sense are errors", "[overrides]") {
  CHECK(errors_of(kGoodDeck, {"width"}) ==
        Lines{"command line: 'width' is not of the form section.key=value"});
  CHECK(errors_of(kGoodDeck, {"=3"}) ==
        Lines{"command line: '=3' is not of the form section.key=value"});
  CHECK(errors_of(kGoodDeck, {"model..width=3"}) ==
        Lines{"command line: 'model..width=3' is not of the form section.key=value"});
  CHECK(errors_of(kGoodDeck, {"model.width.x=3"}) ==
        Lines{"command line: 'model.width' is a value, not a section ('model.width.x=3')"});
  CHECK(errors_of(kGoodDeck, {"model.width=[3"}).size() == 1);
  CHECK(errors_of(kGoodDeck, {"model.width=&a 3"}) ==
        Lines{"command line: 'model.width=&a 3': anchors (&name) are not part of a deck; write the "
              "value out"});
  CHECK(errors_of(kGoodDeck, {"model.widht=3"}) ==
        Lines{"command line: unknown key 'model.widht'; did you mean 'width'? (integer >= 1, "
              "required)"});
}

TEST_CASE("paths of a deck start at its folder, those of the command line here", "[overrides]") {
  const std::string text = changed("synthetic: keyed", "sources: [{paths: [a/../b.txt, /c]}]");
  const auto here = std::filesystem::current_path();
  const Deck deck = read_deck_text(text, "some/where/deck.yaml", {"init.from=d"}).deck;
  REQUIRE(deck.data.sources.size() == 1);
  CHECK(deck.data.sources[0].paths ==
        std::vector<std::string>{(here / "some/where/b.txt").string(), "/c"});
  CHECK(deck.init.from == (here / "d").string());
}
