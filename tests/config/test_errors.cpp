// Every class of error in a deck, with the exact message and place.
#include "catch.hpp"
#include "core/error.hpp"
#include "deck_text.hpp"
#include "kernels/variants.hpp"

TEST_CASE("the good deck is good", "[deck]") {
  CHECK(errors_of(kGoodDeck) == Lines{});
}

TEST_CASE("unknown names come with the nearest known one", "[deck]") {
  CHECK(errors_of(changed("  layers: 2", "  layer: 2\n  layers: 2")) ==
        Lines{"deck.yaml:5:3: unknown key 'model.layer'; did you mean 'layers'? (integer >= 1, "
              "required)"});
  CHECK(errors_of(kGoodDeck + "optimizer: {peak: 1}\n") ==
        Lines{"deck.yaml:12:13: unknown key 'optimizer.peak'; did you mean 'learning_rate.peak'? "
              "(number >= 0, default 0.00022)"});
  CHECK(errors_of(kGoodDeck + "learnin_rate: {peak: 1}\n") ==
        Lines{"deck.yaml:12:1: unknown section 'learnin_rate'; did you mean 'learning_rate'?"});
  CHECK(errors_of(kGoodDeck + "colour: red\n") ==
        Lines{"deck.yaml:12:1: unknown section 'colour'"});
  CHECK(
      errors_of(changed("attention: {heads: 2}", "attention: {heads: 2, yarn: {factr: 2}}")) ==
      Lines{"deck.yaml:8:30: unknown key 'attention.yarn.factr'; did you mean 'factor'? (number >= "
            "1, default 1)"});
  CHECK(errors_of(kGoodDeck + "run2: {<<: 3}\n") ==
        Lines{"deck.yaml:12:1: unknown section 'run2'; did you mean 'run'?"});
  CHECK(errors_of(changed("{heads: 2}", "{heads: 2, <<: {a: 1}}")) ==
        Lines{"deck.yaml:8:23: unknown key 'attention.<<'; merge keys are not part of a deck"});
}

TEST_CASE("wrong types name the type that is wanted", "[deck]") {
  CHECK(errors_of(changed("width: 32", "width: wide")) ==
        Lines{"deck.yaml:4:10: model.width = 'wide' is not an integer (integer >= 1, required)"});
  CHECK(errors_of(changed("width: 32", "width: '32'")) ==
        Lines{"deck.yaml:4:10: model.width is text in quotes (\"32\") (integer >= 1, required)"});
  CHECK(errors_of(changed("width: 32", "width: [32]")) ==
        Lines{"deck.yaml:4:10: model.width is a list (integer >= 1, required)"});
  CHECK(errors_of(changed("width: 32", "width: {a: 1}")) ==
        Lines{"deck.yaml:4:10: model.width is a map (integer >= 1, required)"});
  CHECK(errors_of(changed("width: 32", "width:")) ==
        Lines{"deck.yaml:4:3: model.width has no value (integer >= 1, required)"});
  CHECK(errors_of(changed("width: 32", "width: 0777")) ==
        Lines{"deck.yaml:4:10: model.width = '0777' has a leading zero (octal elsewhere); write it "
              "without (integer >= 1, required)"});
  CHECK(errors_of(changed("20 steps", "20 stps")) ==
        Lines{"deck.yaml:1:15: run.length = 'stps' is not a unit; write steps, samples or tokens "
              "(amount in steps, samples or tokens, required)"});
  CHECK(errors_of(changed("20 steps", "20, recompute: yes")) ==
        Lines{"deck.yaml:1:30: run.recompute = 'yes' is neither true nor false (true or false, "
              "default true)"});
  CHECK(
      errors_of(changed("synthetic: keyed", "synthetic: kyed")) ==
      Lines{"deck.yaml:11:19: data.synthetic = 'kyed' is no choice; did you mean 'keyed'? (one of "
            "\"\", keyed, default \"\")"});
  CHECK(errors_of(changed("attention: {heads: 2}", "attention: 3")) ==
        Lines{"deck.yaml:8:12: 'attention' takes a map of keys"});
  CHECK(errors_of(changed("synthetic: keyed", "sources: text")) ==
        Lines{"deck.yaml:11:17: 'data.sources' is a list of maps"});
  CHECK(errors_of(changed("synthetic: keyed", "sources: [text]")) ==
        Lines{"deck.yaml:11:18: 'data.sources' takes a map of keys"});
  CHECK(errors_of(changed("synthetic: keyed", "sources: [{paths: [[a]]}]")) ==
        Lines{"deck.yaml:11:26: data.sources.paths has an entry that is not text (list of paths, "
              "required)"});
  CHECK(errors_of("- a\n- b\n") == Lines{"deck.yaml:1:1: a deck is a map of sections"});
}

TEST_CASE("values out of range name the range", "[deck]") {
  CHECK(errors_of(changed("width: 32", "width: 0")) ==
        Lines{"deck.yaml:4:10: model.width = 0 is out of range (integer >= 1, required)"});
  CHECK(errors_of(changed("{heads: 2}", "{heads: 2, rope_width: 7}")) ==
        Lines{"deck.yaml:8:35: attention.rope_width = 7 is odd (even integer >= 2, default 64)"});
  CHECK(
      errors_of(kGoodDeck + "parallel: {lanes: 3}\n") ==
      Lines{"deck.yaml:12:19: parallel.lanes = 3 is not a power of two (power of two >= 1, default "
            "1)"});
  CHECK(errors_of(kGoodDeck + "optimizer: {eps: 1e-30}\n") ==
        Lines{"deck.yaml:12:18: optimizer.eps = 1e-30 is out of range (number >= "
              "8.881784197001252e-16, default 1e-08)"});
  CHECK(errors_of(changed("synthetic: keyed", "synthetic: keyed, fim_rate: 1.5")) ==
        Lines{"deck.yaml:11:36: data.fim_rate = 1.5 is out of range (number >= 0 and <= 1, default "
              "0)"});
  CHECK(errors_of(kGoodDeck + "optimizer: {beta2: 1}\n") ==
        Lines{"deck.yaml:12:20: optimizer.beta2 = 1 is out of range (number >= 0 and < 1, default "
              "0.95)"});
}

TEST_CASE("missing keys are named where their section is", "[deck]") {
  CHECK(errors_of(changed("  width: 32\n", "")) ==
        Lines{"deck.yaml:2:1: missing key 'model.width' (integer >= 1, required)"});
  CHECK(errors_of(changed("attention: {heads: 2}\n", "")) ==
        Lines{"deck.yaml:1:1: missing key 'attention.heads' (integer >= 1, required)"});
  CHECK(errors_of(changed("synthetic: keyed", "sources: [{weight: 2}]")) ==
        Lines{"deck.yaml:11:18: missing key 'data.sources.paths' (list of paths, required)"});
  CHECK(errors_of("").size() == 9);  // 7 keys, and 2 rules: dense_width, data
}

TEST_CASE("all problems are reported at once, in the order of the file", "[deck]") {
  const std::string text = changed("  layers: 2", "  layerz: 2\n  dense_layers: 0");
  CHECK(errors_of(text, {"batch.micro=x", "moe.gat=softmax"}) ==
        Lines{"deck.yaml:2:1: missing key 'model.layers' (integer >= 1, required)",
              "deck.yaml:5:3: unknown key 'model.layerz'; did you mean 'layers'? (integer >= 1, "
              "required)",
              "deck.yaml:7:3: key 'dense_layers' is given twice; the first is in line 6",
              "command line: unknown key 'moe.gat'; did you mean 'gate'? (one of sigmoid, softmax, "
              "default \"sigmoid\")",
              "command line: batch.micro = 'x' is not an integer (integer >= 0 or auto, default "
              "auto)"});
}

TEST_CASE("long texts are cut in messages", "[deck]") {
  const std::string name(1000, 'k');
  CHECK(errors_of(kGoodDeck + name + ": 1\n") ==
        Lines{"deck.yaml:12:1: unknown section '" + std::string(60, 'k') + "...'"});
}

TEST_CASE("the deck knows every kernel variant by its name", "[deck]") {
  using moray::Variant;
  for (const Variant variant :
       {Variant::portable, Variant::host_generic, Variant::host_v3, Variant::host_v4, Variant::blas,
        Variant::onednn, Variant::kokkos_kernels}) {
    const std::string name(moray::variant_name(variant));
    CAPTURE(name);
    CHECK(errors_of(kGoodDeck, {"run.determinism=run", "kernels.gemm=" + name}) == Lines{});
    CHECK(errors_of(kGoodDeck, {"kernels.gemm=" + name}).empty() == moray::is_exact(variant));
  }
}

TEST_CASE("an unreadable deck is a usage error", "[deck]") {
  CHECK_THROWS_WITH(moray::read_deck("no/such/deck.yaml"),
                    "no/such/deck.yaml: cannot open the deck: No such file or directory");
}
