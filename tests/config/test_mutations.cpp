// Whatever is in a deck, reading it ends soon, with a deck or with a report.
#include <algorithm>
#include <ctime>
#include <filesystem>
#include <random>

#include "catch.hpp"
#include "config/reader.hpp"
#include "deck_text.hpp"

using namespace moray;

namespace {

/// Seconds of the processor for the largest deck: its share of a core on a busy machine is less than the half second
/// that it takes alone; work that grows with the square of its bytes takes minutes.
constexpr double kSoon = 5;

double seconds_to_read(const std::string& text) {
  const std::clock_t start = std::clock();  // of the processor: other programs do not count
  const DeckReading reading = read_deck_text(text, "deck.yaml");
  if (!reading.problems.empty()) {
    CHECK(reading.resolved.empty());
    CHECK(!reading.problems.report("deck.yaml").empty());
  }
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

std::string mutated(std::string text, std::mt19937_64& random) {
  static const std::vector<std::string> kPieces = {
      "&a ", "*a",  "!t ",  "---\n", "...\n", "? ",    ": ",   "- ",   "[",
      "]",   "{",   "}",    "\n",    "\t",    "'",     "\"",   "#",    "|\n",
      ">\n", ",",   "~",    "<<: ",  "0x",    "1e999", "-1",   "%Y ",  "@",
      "`",   "\\x", "\xff", "\r",    "nan",   "1e400", "0777", "true", "run: "};
  const int edits = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < edits && !text.empty(); ++i) {
    const std::size_t at = random() % text.size();
    const std::size_t length = std::min<std::size_t>(random() % 20, text.size() - at);
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(random() % text.size(), length));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        text.insert(at, kPieces[random() % kPieces.size()]);
    }
  }
  return text;
}

void mutate(int count, std::uint64_t seed) {
  std::vector<std::string> decks;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(MORAY_INPUT_FOLDER))
    if (entry.path().extension() == ".yaml") decks.push_back(read_deck_file(entry.path().string()));
  std::sort(decks.begin(), decks.end());
  std::mt19937_64 random(seed);
  double slowest = 0;
  for (int i = 0; i < count; ++i) {
    const std::string text = mutated(decks[random() % decks.size()], random);
    slowest = std::max(slowest, seconds_to_read(text));
  }
  CHECK(slowest < 1.0);
}

std::string repeated(const std::string& piece) {
  std::string text;
  while (text.size() + piece.size() <= kLargestDeck) text += piece;
  return text;
}

}  // namespace

TEST_CASE("10,000 mutations of the decks end in a deck or a report", "[mutations]") {
  mutate(10000, 17);
}

TEST_CASE("a million mutations of the decks end in a deck or a report", "[mutations][long]") {
  mutate(1000000, 18);
}

TEST_CASE("mutations of overrides end in a deck or a report", "[mutations]") {
  std::mt19937_64 random(19);
  for (int i = 0; i < 2000; ++i) {
    const DeckReading reading = read_deck_text(
        kGoodDeck, "deck.yaml",
        {mutated("attention.yarn.factor=1", random), mutated("data.sources=[{paths: a}]", random)});
    CHECK(reading.problems.empty() == !reading.resolved.empty());
  }
}

TEST_CASE("the largest decks of nonsense end soon", "[mutations]") {
  for (const char* piece :
       {"[",   "{",    "- ",  "? ",  "a: ",  "a: \n", "[a, ",        "{a: ",  "'",  "\"a\" ",
        "#",   "&a ",  "*a ", "!t ", "a\n",  "\n",    "a: 1\n",      "---\n", ", ", ": ",
        "|\n", "- - ", "[]",  "{}",  "a b ", "%A\n",  "x: {y: [z, ", "- a\n", "0"}) {
    CAPTURE(piece);
    CHECK(seconds_to_read(repeated(piece)) < kSoon);
  }
  std::string distinct;
  for (int i = 0; distinct.size() < kLargestDeck - 100; ++i)
    distinct += "warmup_of_the_learning_rate_" + std::to_string(i) + ": 1\n";
  CHECK(seconds_to_read(distinct) < kSoon);
  CHECK(seconds_to_read("model: {? " + std::string(900000, 'k') + ": 1}") < kSoon);
}
