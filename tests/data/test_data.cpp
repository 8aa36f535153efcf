#include "data/data.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "catch.hpp"
#include "core/error.hpp"
#include "text_files.hpp"

using namespace moray;

namespace {

using Tokens = std::vector<std::int32_t>;

/// Numbered lines, so that a window says where it lies.
std::string numbered(std::size_t bytes, char mark) {
  std::string text;
  for (int line = 0; text.size() < bytes; ++line) text += fmt::format("{}{}\n", mark, line);
  text.resize(bytes);
  return text;
}

DataConfig one_source(const std::string& path) {
  DataConfig config;
  config.sources.push_back({{path}, 1, 0});
  return config;
}

Tokens sample(TrainingData& data, std::uint64_t g, std::int64_t length) {
  Tokens tokens(static_cast<std::size_t>(length) + 1);
  data.sample(g, tokens);
  return tokens;
}

Tokens validation(TrainingData& data, std::uint64_t i, std::int64_t length) {
  Tokens tokens(static_cast<std::size_t>(length) + 1);
  data.validation_window(i, tokens);
  return tokens;
}

Tokens slice(const std::string& text, std::uint64_t first, std::int64_t length) {
  Tokens tokens;
  for (std::int64_t i = 0; i <= length; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i);
    tokens.push_back(at < text.size() ? static_cast<unsigned char>(text[at]) : 256);
  }
  return tokens;
}

/// The message of the Error that making the data throws, with its exit code in front.
std::string refusal(const DataConfig& config, const DataShape& shape) {
  try {
    TrainingData data(config, shape);
  } catch (const Error& error) {
    return fmt::format("{} {}", static_cast<int>(error.code()), error.what());
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("one file: training windows, each once an epoch, and the last part for validation") {
  const TextFolder folder;
  const std::string text = numbered(10000, 'a');
  folder.write("text", text);
  constexpr std::int64_t kLength = 16;
  TrainingData data(one_source("text"), {1, kLength, 260, folder.path()});
  // 9000 bytes and eos: 9001 tokens, (9001 - 1) / 16 = 562 windows; 1001 tokens of validation: 62.
  REQUIRE(data.summaries().at(0).windows == 562);
  REQUIRE(data.validation_windows() == 62);
  std::vector<std::vector<std::uint64_t>> orders;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::uint64_t> seen;
    orders.emplace_back();
    for (std::uint64_t i = 0; i < 562; ++i) {
      const auto origin = data.origin(epoch * 562 + i);
      REQUIRE(origin.epoch == epoch);
      REQUIRE(sample(data, epoch * 562 + i, kLength) ==
              slice(text.substr(0, 9000), origin.window * kLength, kLength));
      seen.insert(origin.window);
      orders.back().push_back(origin.window);
    }
    REQUIRE(seen.size() == 562);
    REQUIRE(*seen.rbegin() == 561);
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
  for (std::uint64_t i = 0; i < 62; ++i) {
    REQUIRE(validation(data, i, kLength) == slice(text.substr(9000), i * kLength, kLength));
  }
  TrainingData other(one_source("text"), {2, kLength, 260, folder.path()});
  CHECK(other.origin(0).window + 1000 * other.origin(1).window !=
        data.origin(0).window + 1000 * data.origin(1).window);
}

TEST_CASE("the order of reading changes nothing") {
  const TextFolder folder;
  folder.write("a/1", numbered(3000, 'x'));
  folder.write("a/2", numbered(2000, 'y'));
  folder.write("b", numbered(4000, 'z'));
  DataConfig config = one_source("a");
  config.sources.push_back({{"b"}, 2, 0});
  config.fim_rate = 0.5;
  config.documents = "blank_lines";
  const DataShape shape{7, 24, 260, folder.path()};
  TrainingData forward(config, shape), backward(config, shape);
  std::vector<Tokens> read(500);
  for (std::uint64_t g = 500; g-- > 0;) read[g] = sample(backward, g, 24);
  for (std::uint64_t g = 0; g < 500; ++g) REQUIRE(sample(forward, g, 24) == read[g]);
}

TEST_CASE("the split cuts no character, and no byte is on both sides") {
  const TextFolder folder;
  std::string text = "a";
  while (text.size() < 997) text += "\xE2\x82\xAC";
  folder.write("text", text);
  for (double fraction = 0.1; fraction < 0.6; fraction += 0.0371) {
    DataConfig config = one_source("text");
    config.validation_fraction = fraction;
    TrainingData data(config, {1, 1, 260, folder.path()});
    const auto tokens = data.summaries().at(0).tokens;  // training bytes and eos
    const std::string head = text.substr(0, tokens - 1), tail = text.substr(tokens - 1);
    REQUIRE(head.size() % 3 == 1);
    REQUIRE(data.validation_windows() == tail.size());
    REQUIRE(validation(data, 0, 1) == slice(tail, 0, 1));
    REQUIRE(validation(data, tail.size() - 1, 1) == slice(tail, tail.size() - 1, 1));
    const double bytes = static_cast<double>(text.size());
    REQUIRE(tail.size() <= bytes * fraction);
    REQUIRE(static_cast<double>(tail.size()) > bytes * fraction - 4);
  }
}

TEST_CASE("validation files of their own leave the sources whole") {
  const TextFolder folder;
  folder.write("text", numbered(1000, 'a'));
  folder.write("held", numbered(500, 'v'));
  DataConfig config = one_source("text");
  config.validation = {"held"};
  config.fim_rate = 1;
  TrainingData data(config, {1, 10, 260, folder.path()});
  CHECK(data.summaries().at(0).tokens == 1004);
  CHECK(data.validation_windows() == 50);
  CHECK(validation(data, 3, 10) == slice(numbered(500, 'v'), 30, 10));
}

TEST_CASE("several sources: shares, epochs, and an end") {
  const TextFolder folder;
  folder.write("a", numbered(1601, 'a'));
  folder.write("b", numbered(801, 'b'));
  DataConfig config;
  config.validation_fraction = 0;
  config.sources = {{{"a"}, 3, 1.5}, {{"b"}, 1, 2}};
  TrainingData data(config, {1, 16, 260, folder.path()});
  CHECK(data.validation_windows() == 0);
  REQUIRE(data.samples() == 150 + 100);
  std::map<std::pair<std::size_t, std::uint64_t>, std::set<std::uint64_t>> windows;
  for (std::uint64_t g = 0; g < data.samples(); ++g) {
    const auto origin = data.origin(g);
    REQUIRE(windows[{origin.source, origin.epoch}].insert(origin.window).second);
    const Tokens tokens = sample(data, g, 16);
    REQUIRE(std::count(tokens.begin(), tokens.end(), origin.source == 0 ? 'b' : 'a') == 0);
  }
  CHECK(windows[{0, 0}].size() == 100);
  CHECK(windows[{0, 1}].size() == 50);
  CHECK(windows[{1, 0}].size() == 50);
  CHECK(windows[{1, 1}].size() == 50);
  try {
    sample(data, 250, 16);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK(contains(error.what(), "exhausted after 250 samples"));
  }
}

TEST_CASE("folders, globs, hidden and repeated files") {
  const TextFolder folder;
  for (const char* name :
       {"d/b.txt", "d/a.txt", "d/sub/c.txt", "d/.hidden", "d/.git/x", "e1.md", "e2.md"}) {
    folder.write(name, numbered(200, name[0]));
  }
  const auto names = [&](const std::vector<std::string>& paths) {
    std::string all;
    for (const auto& path : expand_paths(paths, folder.path(), "data.sources[0]")) {
      all += std::filesystem::relative(path, folder.path()).string() + " ";
    }
    return all;
  };
  CHECK(names({"d"}) == "d/a.txt d/b.txt d/sub/c.txt ");
  CHECK(names({"e*.md", "d/b.txt", "d"}) == "e1.md e2.md d/b.txt d/a.txt d/sub/c.txt ");
  CHECK(names({"d/../d/*.txt", "d/a.txt"}) == "d/a.txt d/b.txt ");
  CHECK(names({folder.path() + "/e?.md"}) == "e1.md e2.md ");
}

TEST_CASE("what cannot be read is refused with its name") {
  const TextFolder folder;
  folder.write("empty", "");
  folder.write("short", "abc");
  folder.write("good", numbered(1000, 'a'));
  std::filesystem::create_directories(folder.path() + "/nothing");
  const DataShape shape{1, 16, 260, folder.path()};
  const auto refused = [&](const std::string& path, const std::string& message) {
    const std::string text = refusal(one_source(path), shape);
    INFO(text);
    CHECK(text.substr(0, 2) == "3 ");
    CHECK(contains(text, path));
    CHECK(contains(text, message));
  };
  refused("missing", "does not exist");
  refused("miss*", "nothing matches");
  refused("nothing", "holds no file");
  refused("empty", "is empty");
  refused("short", "one window needs 17");
  std::filesystem::create_directories(folder.path() + "/links");
  std::filesystem::create_symlink("nowhere", folder.path() + "/links/l");
  refused("links", "is a link to nothing");
  if (::geteuid() != 0) {
    std::filesystem::permissions(folder.write("secret", "x"), std::filesystem::perms::none);
    refused("secret", "Permission denied");
  }
  DataConfig config = one_source("good");
  config.validation_fraction = 0.01;
  CHECK(contains(refusal(config, shape), "the validation part"));
  CHECK(contains(refusal(one_source("good"), {1, 16, 259, folder.path()}), "model.vocabulary"));
  config = {};
  CHECK(refusal(config, shape).substr(0, 2) == "2 ");
  config = one_source("good");
  config.sources[0].max_epochs = 0.001;
  CHECK(contains(refusal(config, shape), "not even one"));
  config = one_source("good");
  config.fim_rate = 1.5;
  CHECK(contains(refusal(config, shape), "data.fim_rate"));
}

TEST_CASE("a file cut short under a running program is an error with its name") {
  const TextFolder folder;
  const std::string path = folder.write("text", numbered(200000, 'a'));
  TrainingData data(one_source("text"), {1, 64, 260, folder.path()});
  sample(data, 0, 64);
  std::filesystem::resize_file(path, 500);
  std::size_t errors = 0;
  for (std::uint64_t g = 1; g < 40; ++g) {
    try {
      sample(data, g, 64);
    } catch (const Error& error) {
      ++errors;
      CHECK(error.code() == ExitCode::io);
      CHECK(contains(error.what(), path));
      CHECK(contains(error.what(), "200000 bytes when the run began"));
    }
  }
  CHECK(errors > 30);
}

TEST_CASE("digests change with any byte and do not depend on how files are read") {
  const TextFolder folder;
  folder.write("a", "");
  std::string text = numbered(3 << 20, 'q');
  folder.write("a", text);
  folder.write("held", numbered(500, 'v'));
  DataConfig config = one_source("a");
  config.validation = {"held"};
  const DataShape shape{1, 16, 260, folder.path()};
  const auto first = TrainingData(config, shape).digests();
  REQUIRE(first.size() == 2);
  CHECK(first[0].bytes == text.size());
  CHECK(first[0].xxh3_128.size() == 32);
  CHECK(first[0].xxh3_128 != first[1].xxh3_128);
  CHECK(TrainingData(config, shape).digests() == first);
  text[2 << 20] ^= 1;
  folder.write("a", text);
  CHECK(TrainingData(config, shape).digests()[0].xxh3_128 != first[0].xxh3_128);
  folder.write("held", "abc");
  config = one_source("held");
  config.validation_fraction = 0;
  // xxh3_128 of "abc", from the command `xxh128sum`.
  CHECK(TrainingData(config, {1, 2, 260, folder.path()}).digests()[0].xxh3_128 ==
        "06b05ab6733a618578af5f94892f3950");
}

TEST_CASE("synthetic text: any vocabulary, prefixes agree, structure is there") {
  DataConfig config;
  config.synthetic = "keyed";
  TrainingData data(config, {42, 32, 100, ""});
  CHECK(data.samples() == Mixture::kEndless);
  CHECK(data.validation_windows() == 64);
  CHECK(data.digests().empty());
  TrainingData longer(config, {42, 64, 100, ""}), other(config, {43, 32, 100, ""});
  std::size_t follows = 0, total = 0;
  std::set<Tokens> seen;
  for (std::uint64_t g = 0; g < 200; ++g) {
    const Tokens tokens = sample(data, g, 32), more = sample(longer, g, 64);
    REQUIRE(std::equal(tokens.begin(), tokens.end(), more.begin()));
    REQUIRE(seen.insert(tokens).second);
    REQUIRE(tokens != sample(other, g, 32));
    for (std::size_t i = 1; i < tokens.size(); ++i, ++total) {
      REQUIRE(tokens[i] >= 0);
      REQUIRE(tokens[i] < 100);
      const std::int32_t next = (5 * tokens[i - 1] + 1) % 100;
      follows += tokens[i] == next || tokens[i] == (next + 1) % 100;
    }
  }
  CHECK(follows > total / 2);
  for (std::uint64_t i = 0; i < 64; ++i) REQUIRE(seen.count(validation(data, i, 32)) == 0);
}
