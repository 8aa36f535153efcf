// A refused layout is told the nearest ones that work: for thousands of random decks every value that
// a message names is accepted when it is put in, and none that is nearer is.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <regex>
#include <set>

#include "catch.hpp"
#include "config/section.hpp"
#include "deck_text.hpp"

using namespace moray;

namespace {

using Values = std::map<std::string, std::string>;

std::vector<std::string> as_overrides(const Values& values) {
  std::vector<std::string> result;
  for (const auto& [key, value] : values) result.push_back(key + "=" + value);
  return result;
}

template <class T>
T one_of(std::mt19937_64& random, const std::vector<T>& all) {
  return all[random() % all.size()];
}

// Layouts that are right about as often as wrong.
Values random_layout(std::mt19937_64& random) {
  const auto number = [&](const std::vector<int>& all) {
    return fmt::format("{}", one_of(random, all));
  };
  const auto sometimes = [&](int in) { return random() % static_cast<unsigned>(in) == 0; };
  Values v;
  const int pipeline = one_of<int>(random, {1, 1, 1, 2, 3, 4, 5, 8});
  const int data = one_of<int>(random, {1, 2, 3, 4, 4, 6, 8, 16});
  v["parallel.pipeline"] = fmt::format("{}", pipeline);
  v["run.ranks"] = fmt::format("{}", sometimes(6) ? 12 : pipeline * data);
  if (sometimes(2)) v["parallel.data"] = fmt::format("{}", data);
  v["parallel.expert"] = number({1, 1, 2, 3, 4, 8});
  v["parallel.nodes"] = number({0, 0, 1, 2, 3, 4});
  v["parallel.lanes"] = number({4, 16, 32, 64});
  v["parallel.expert_lanes"] = number({2, 16, 32, 64});
  v["batch.sequences"] = number({1, 6, 8, 12, 32, 64, 96});
  v["batch.micro"] = number({0, 0, 1, 2, 3, 4});
  v["moe.experts"] = number({4, 8, 12, 64});
  v["model.layers"] = number({2, 4, 7, 9});
  v["parallel.schedule"] =
      one_of<std::string>(random, {"auto", "1f1b", "zb1p", "dualpipe", "dualpipev"});
  if (sometimes(5)) v["parallel.traffic"] = "two_hop";
  if (sometimes(3)) v["run.determinism"] = "run";
  if (sometimes(8))
    v["parallel.stages"] = one_of<std::string>(random, {"'1,1'", "'4,3'", "'2x2'", "1x9"});
  if (sometimes(6)) {
    v["batch.ramp_over"] = "9";
    v["batch.ramp_from"] = number({4, 8, 12});
    v["batch.ramp_multiple"] = number({2, 4, 6});
  }
  return v;
}

void collect(Section& section, std::vector<const Rule*>& rules) {
  for (const Rule& rule : section.rules()) rules.push_back(&rule);
  for (Section& inner : section.sections()) collect(inner, rules);
}

/// The sentences of the rules that a deck breaks, asked without reader or messages.
class Rules {
 public:
  explicit Rules(const Deck& deck) : deck_(deck), root_(declare_deck(deck_)) {
    collect(root_, rules_);
  }
  std::set<std::string> broken() const {
    std::set<std::string> result;
    for (const Rule* rule : rules_)
      if (!rule->broken().empty()) result.insert(rule->sentence);
    return result;
  }
  /// With other values in some keys.
  std::set<std::string> broken(const Values& changes) {
    const Deck before = deck_;
    for (const auto& [key, value] : changes) {
      if (is_number(key))
        *root_.find(key)->integer() = std::stoll(value);
      else
        *root_.find(key)->words() =
            value.front() == '\'' ? value.substr(1, value.size() - 2) : value;
    }
    std::set<std::string> result = broken();
    deck_ = before;
    return result;
  }
  bool is_number(const std::string& key) { return root_.find(key)->integer() != nullptr; }
  std::int64_t number(const std::string& key) { return *root_.find(key)->integer(); }

 private:
  Deck deck_;
  Section root_;
  std::vector<const Rule*> rules_;
};

bool power_of_two(std::int64_t n) {
  return n > 0 && (n & (n - 1)) == 0;
}

/// One value of a message: "parallel.data = 4 (run.ranks = 8)".
struct Named {
  std::string key, value, follower, followed;
};

struct Ending {
  bool all = false;  ///< "works with", or "this one is mended by"
  std::vector<Named> values;
};

std::vector<Ending> parse_endings(const std::string& message) {
  static const std::regex kEnding("; (works with|this one is mended by) ((?:[^;])*)(?=;|$)");
  static const std::regex kKey(R"(([a-z]+\.[a-z_]+) = ((?:'[^']*'|\([^)]*\)|[^,(])+))");
  static const std::regex kValue(R"(('[^']*'|[a-z0-9_]+)(?: \(([a-z.]+) = (\d+)\))?(?: or |$))");
  std::vector<Ending> endings;
  for (std::sregex_iterator e(message.begin(), message.end(), kEnding), end; e != end; ++e) {
    Ending& ending = endings.emplace_back();
    ending.all = (*e)[1] == "works with";
    const std::string list = (*e)[2];
    for (std::sregex_iterator k(list.begin(), list.end(), kKey); k != end; ++k) {
      const std::string values = (*k)[2];
      for (std::sregex_iterator v(values.begin(), values.end(), kValue); v != end; ++v)
        ending.values.push_back({(*k)[1], (*v)[1], (*v)[2], (*v)[3]});
    }
    REQUIRE(!ending.values.empty());
  }
  return endings;
}

/// The one of the broken rules that a line is about.
std::string sentence_of(const std::string& line, const std::set<std::string>& broken) {
  for (const std::string& sentence : broken)
    if (line.find(sentence + " (") == 0) return sentence;
  FAIL("no rule says so");
  return "";
}

/// What the ending promises of the rules that are broken with other values.
bool kept(bool all, const std::string& sentence, const std::set<std::string>& before,
          const std::set<std::string>& now) {
  if (all) return now.empty();
  return now.count(sentence) == 0 &&
         std::includes(before.begin(), before.end(), now.begin(), now.end());
}

/// A value that is nearer than the one named, with what follows it.
Values nearer(Rules& rules, const Named& named, std::int64_t value) {
  Values change = {{named.key, fmt::format("{}", value)}};
  if (named.follower.empty()) return change;
  const char* other = named.key == "parallel.data" ? "parallel.pipeline" : "parallel.data";
  change["run.ranks"] = fmt::format("{}", value * rules.number(other));
  return change;
}

/// A list of layers is wrong, and there are enough for one that is right.
bool has_placement(const Deck& deck) {
  const ParallelConfig& p = deck.parallel;
  const std::int64_t stages = p.schedule == "dualpipev" ? 2 * p.pipeline : p.pipeline;
  return p.stages != "auto" && deck.model.model.layers >= stages - 1;
}

void check_value(const Values& layout, Rules& rules, bool all, const std::string& sentence,
                 const Named& named) {
  CAPTURE(named.key, named.value, named.followed);
  const std::set<std::string> before = rules.broken();
  Values change = {{named.key, named.value}};
  if (!named.follower.empty()) change[named.follower] = named.followed;
  CHECK(kept(all, sentence, before, rules.broken(change)));
  if (all) {
    Values changed = change;
    changed.insert(layout.begin(), layout.end());
    CHECK(errors_of(kGoodDeck, as_overrides(changed)) == Lines{});
  }
  if (!rules.is_number(named.key)) return;
  const std::int64_t present = rules.number(named.key), value = std::stoll(named.value);
  for (std::int64_t v = std::min(present, value) + 1; v < std::max(present, value); ++v) {
    if (named.key.find("lanes") != std::string::npos && !power_of_two(v)) continue;
    if (!kept(all, sentence, before, rules.broken(nearer(rules, named, v)))) continue;
    CAPTURE(v);
    CHECK(std::string("a nearer value") == "would do");
  }
}

// No one number between 1 and 100 in any key of a layout mends a deck whose messages name none.
void check_hopeless(Rules& rules) {
  for (const char* key :
       {"run.ranks", "parallel.data", "parallel.pipeline", "parallel.expert", "parallel.nodes",
        "parallel.lanes", "parallel.expert_lanes", "batch.sequences", "batch.micro",
        "batch.ramp_from", "batch.ramp_multiple"}) {
    if (rules.number(key) == 0) continue;
    const bool lanes = std::string(key).find("lanes") != std::string::npos;
    for (std::int64_t v = 1; v <= 100; ++v) {
      if ((lanes && !power_of_two(v)) || !rules.broken({{key, fmt::format("{}", v)}}).empty())
        continue;
      CAPTURE(key, v);
      CHECK(std::string("one value") == "would do");
    }
  }
}

}  // namespace

TEST_CASE("what a refused layout is told works, and nothing nearer does", "[rules]") {
  std::mt19937_64 random(5);
  std::map<std::string, int> seen;
  int refused = 0, mended = 0, hopeless = 0;
  for (int i = 0; i < 1000; ++i) {
    const Values layout = random_layout(random);
    const std::vector<std::string> overrides = as_overrides(layout);
    CAPTURE(overrides);
    const DeckReading reading = read_deck_text(kGoodDeck, "deck.yaml", overrides);
    if (reading.problems.empty()) continue;
    ++refused;
    Rules rules(reading.deck);
    bool all = false;
    for (const Problem& problem : reading.problems.sorted()) {
      CAPTURE(problem.message);
      const std::string sentence = sentence_of(problem.message, rules.broken());
      for (const Ending& ending : parse_endings(problem.message)) {
        all = all || ending.all;
        for (const Named& named : ending.values) {
          ++seen[named.key];
          check_value(layout, rules, ending.all, sentence, named);
        }
      }
      if (sentence == "every stage of the pipeline has layers" && has_placement(reading.deck))
        CHECK(problem.message.find("parallel.stages = '") != std::string::npos);
    }
    mended += all ? 1 : 0;
    if (!all && ++hopeless % 4 == 0) check_hopeless(rules);
  }
  UNSCOPED_INFO(
      fmt::format("{} refused, {} mended by one key, {} by none", refused, mended, hopeless));
  for (const auto& [key, count] : seen) UNSCOPED_INFO(key << " " << count);
  CHECK(refused > 500);
  CHECK(mended > 200);
  for (const char* key :
       {"run.ranks", "parallel.data", "parallel.pipeline", "parallel.expert", "parallel.nodes",
        "parallel.lanes", "parallel.expert_lanes", "parallel.schedule", "parallel.stages",
        "parallel.traffic", "batch.sequences", "batch.micro", "batch.ramp_from",
        "batch.ramp_multiple"})
    CHECK(seen[key] > 5);
}

TEST_CASE("the end of a message of a refused layout", "[rules]") {
  const auto ending = [](const std::vector<std::string>& overrides) {
    const Lines lines = errors_of(kGoodDeck, overrides);
    CAPTURE(lines);
    REQUIRE(lines.size() == 1);
    return lines[0].substr(lines[0].find("; ", lines[0].find("); ")));
  };
  const auto with = [](std::vector<std::string> more) {
    for (const char* text : {"parallel.lanes=16", "parallel.expert_lanes=16", "moe.experts=8"})
      more.push_back(text);
    return more;
  };
  CHECK(ending(with({"run.ranks=4", "parallel.expert=3"})) ==
        "; works with parallel.expert = 2 or 4");
  CHECK(ending(with({"run.ranks=4", "parallel.nodes=3"})) ==
        "; works with parallel.nodes = 2 or 4");
  CHECK(ending(with({"run.ranks=6", "parallel.data=4"})) == "; works with run.ranks = 4");
  CHECK(ending({"run.ranks=4", "parallel.data=2", "parallel.pipeline=2", "model.layers=4",
                "parallel.expert_lanes=16"}) == "; works with parallel.lanes = 4");
  CHECK(ending(with({"run.ranks=4", "batch.sequences=14"})) ==
        "; works with batch.sequences = 12 or 16, or run.ranks = 2");
  CHECK(ending(with({"run.ranks=4", "batch.micro=3"})) ==
        "; works with batch.sequences = 12, or batch.micro = 2");
  // A list of layers that is wrong: what placing them by cost gives.
  CHECK(ending(with({"run.ranks=2", "parallel.data=1", "parallel.pipeline=2", "model.layers=7",
                     "parallel.stages='4,4'"})) == "; works with parallel.stages = '4,3'");
  CHECK(ending(with({"run.ranks=8", "parallel.pipeline=8", "parallel.schedule=zb1p"})) ==
        "; works with parallel.pipeline = 2");
  // Data and all ranks have to change together where a deck gives both; so say all messages.
  const Lines lines = errors_of(kGoodDeck, with({"run.ranks=3", "parallel.data=3"}));
  CHECK(lines.size() == 4);  // a power of two, both lanes, sequences
  for (const std::string& line : lines)
    CHECK(line.substr(line.find("; works")) ==
          "; works with parallel.data = 2 (run.ranks = 2) or 4 (run.ranks = 4)");
  // Where two things are wrong, each says what mends it alone.
  const Lines two =
      errors_of(kGoodDeck, with({"run.ranks=4", "parallel.nodes=3", "batch.micro=3"}));
  REQUIRE(two.size() == 2);
  CHECK(two[0].substr(two[0].find("; this")) == "; this one is mended by parallel.nodes = 2 or 4");
  // A rule that no layout can mend hides none of the others' values.
  const Lines other =
      errors_of(kGoodDeck, with({"run.ranks=4", "parallel.nodes=3", "moe.top_k=9"}));
  REQUIRE(other.size() == 2);
  CHECK((other[0] + other[1]).find("; works with parallel.nodes = 2 or 4") != std::string::npos);
}
