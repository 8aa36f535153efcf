// Token streams against a plain implementation that holds everything in memory.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "data/documents.hpp"
#include "data/stream.hpp"
#include "data/tokenizer.hpp"
#include "kernels/random/random.hpp"
#include "text_files.hpp"

using namespace moray;

namespace {

using Tokens = std::vector<std::int32_t>;
constexpr std::uint64_t kKey = 4242;

/// Small pseudo-random numbers for the tests' texts.
struct Dice {
  std::uint64_t key, index = 0;
  std::uint64_t operator()(std::uint64_t bound) {
    return random_words(key, index++).word[0] % bound;
  }
};

std::vector<std::string> blank_line_documents(const std::string& text) {
  std::vector<std::string> documents;
  bool open = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t newline = text.find('\n', at);
    const std::string line =
        text.substr(at, newline == std::string::npos ? std::string::npos : newline - at + 1);
    at += line.size();
    if (line == "\n" || line == "\r\n") {
      open = false;
    } else {
      if (!open) documents.emplace_back();
      open = true;
      documents.back() += line;
    }
  }
  return documents;
}

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// Sections 1 and 2 of docs/numerics/data.md, literally.
Tokens plain_stream(const std::vector<std::string>& documents, double rate) {
  Tokens stream;
  const auto text = [&](std::string_view part) {
    for (const char c : part) stream.push_back(static_cast<unsigned char>(c));
  };
  for (std::size_t d = 0; d < documents.size(); ++d) {
    const std::string& document = documents[d];
    const RandomWords r = random_words(kKey, d);
    if (r.word[0] < rate * 4294967296.0) {
      const auto cut = [&](std::uint32_t word) {
        return static_cast<std::size_t>((word * (document.size() + 1)) >> 32);
      };
      std::size_t a = std::min(cut(r.word[1]), cut(r.word[2]));
      std::size_t b = std::max(cut(r.word[1]), cut(r.word[2]));
      for (int i = 0; i < 3 && a < document.size() && continues(document[a]); ++i) ++a;
      for (int i = 0; i < 3 && b < document.size() && continues(document[b]); ++i) ++b;
      stream.push_back(257);
      text(std::string_view(document).substr(0, a));
      stream.push_back(258);
      text(std::string_view(document).substr(b));
      stream.push_back(259);
      text(std::string_view(document).substr(a, b - a));
    } else {
      text(document);
    }
    stream.push_back(256);
  }
  return stream;
}

Tokens read(TokenStream& stream, std::uint64_t first, std::uint64_t count) {
  Tokens tokens(count);
  stream.read(first, tokens);
  return tokens;
}

std::string random_text(Dice& dice) {
  static const std::vector<std::string> kPieces{
      "a",   "b\n",   "\n",       "\n\n",         "\r\n",
      "\r",  "x y z", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
      "\x80"};
  std::string text = "t";
  const std::uint64_t pieces = dice(200);
  for (std::uint64_t i = 0; i < pieces; ++i) text += kPieces[dice(kPieces.size())];
  return text;
}

}  // namespace

TEST_CASE("packing by hand") {
  const TextFolder folder;
  auto files = std::make_shared<FileSet>(
      std::vector<std::string>{folder.write("1", "abc"), folder.write("2", "de")});
  TokenStream stream(files, 0, files->bytes(), DocumentMode::file, FillInTheMiddle(0, kKey),
                     ByteTokenizer().special());
  CHECK(stream.tokens() == 7);
  CHECK(read(stream, 0, 7) == Tokens{'a', 'b', 'c', 256, 'd', 'e', 256});
  CHECK(stream.windows(2) == 3);  // abc, c eos d, d e eos: each token but the first predicted once
  CHECK(stream.windows(3) == 2);
  CHECK(stream.windows(4) == 1);
  CHECK(stream.windows(6) == 1);
  CHECK(stream.windows(7) == 0);
  TokenStream whole(files, 0, files->bytes(), DocumentMode::whole, FillInTheMiddle(0, kKey),
                    ByteTokenizer().special());
  CHECK(read(whole, 0, whole.tokens()) == Tokens{'a', 'b', 'c', 'd', 'e', 256});
}

TEST_CASE("blank lines by hand") {
  const TextFolder folder;
  auto files = std::make_shared<FileSet>(
      std::vector<std::string>{folder.write("1", "\n\nab\nc\n\n\nd\r\n\r\ne"),
                               folder.write("2", "\n\n"), folder.write("3", "f\n")});
  TokenStream stream(files, 0, files->bytes(), DocumentMode::blank_lines, FillInTheMiddle(0, kKey),
                     ByteTokenizer().special());
  CHECK(stream.documents() == 4);
  CHECK(read(stream, 0, stream.tokens()) ==
        Tokens{'a', 'b', '\n', 'c', '\n', 256, 'd', '\r', '\n', 256, 'e', 256, 'f', '\n', 256});
}

TEST_CASE("fill-in-the-middle by hand") {
  const TextFolder folder;
  auto files = std::make_shared<FileSet>(std::vector<std::string>{folder.write("1", "0123456789")});
  const FillInTheMiddle fim(1, kKey);
  const auto cuts = fim.cuts(0, 10);
  REQUIRE(cuts.first <= cuts.second);
  REQUIRE(cuts.second <= 10);
  TokenStream stream(files, 0, 10, DocumentMode::file, fim, ByteTokenizer().special());
  Tokens expected{257};
  for (std::uint64_t i = 0; i < cuts.first; ++i) expected.push_back('0' + static_cast<int>(i));
  expected.push_back(258);
  for (std::uint64_t i = cuts.second; i < 10; ++i) expected.push_back('0' + static_cast<int>(i));
  expected.push_back(259);
  for (std::uint64_t i = cuts.first; i < cuts.second; ++i)
    expected.push_back('0' + static_cast<int>(i));
  expected.push_back(256);
  CHECK(stream.tokens() == 14);
  CHECK(read(stream, 0, 14) == expected);
}

TEST_CASE("the rate of fill-in-the-middle, and where it cuts") {
  const FillInTheMiddle fim(0.1, kKey), never(0, kKey), always(1, kKey);
  std::uint64_t chosen = 0;
  double first = 0, second = 0;
  for (std::uint64_t d = 0; d < 40000; ++d) {
    chosen += fim.chosen(d);
    REQUIRE(!never.chosen(d));
    REQUIRE(always.chosen(d));
    const auto cuts = fim.cuts(d, 999);
    first += static_cast<double>(cuts.first), second += static_cast<double>(cuts.second);
  }
  CHECK(std::abs(static_cast<double>(chosen) - 4000) < 5 * 60);  // deviation 60
  CHECK(std::abs(first / 40000 - 333) < 5 * 236 / 200.0);        // least of two uniform
  CHECK(std::abs(second / 40000 - 666) < 5 * 236 / 200.0);
}

TEST_CASE("random documents: every mode and rate equals the plain stream") {
  Dice dice{1};
  for (int round = 0; round < 60; ++round) {
    const TextFolder folder;
    std::vector<std::string> paths, texts;
    const std::uint64_t count = 1 + dice(5);
    std::string all;
    for (std::uint64_t f = 0; f < count; ++f) {
      texts.push_back(random_text(dice));
      all += texts.back();
      paths.push_back(folder.write(std::to_string(f), texts.back()));
    }
    std::vector<std::string> separated;
    for (const std::string& text : texts) {
      for (std::string& document : blank_line_documents(text)) separated.push_back(document);
    }
    auto files = std::make_shared<FileSet>(paths);
    for (const double rate : {0.0, 0.5, 1.0}) {
      const FillInTheMiddle fim(rate, kKey);
      const auto compare = [&](DocumentMode mode, const std::vector<std::string>& documents) {
        TokenStream stream(files, 0, files->bytes(), mode, fim, ByteTokenizer().special());
        const Tokens expected = plain_stream(documents, rate);
        REQUIRE(stream.documents() == documents.size());
        REQUIRE(stream.tokens() == expected.size());
        REQUIRE(read(stream, 0, expected.size()) == expected);
        for (int i = 0; i < 20; ++i) {
          const std::uint64_t first = dice(expected.size());
          const std::uint64_t length = 1 + dice(expected.size() - first);
          REQUIRE(read(stream, first, length) ==
                  Tokens(expected.begin() + static_cast<std::ptrdiff_t>(first),
                         expected.begin() + static_cast<std::ptrdiff_t>(first + length)));
        }
      };
      compare(DocumentMode::file, texts);
      compare(DocumentMode::whole, {all});
      compare(DocumentMode::blank_lines, separated);
    }
  }
}

TEST_CASE("blank lines with few marks: memory is bounded and lookups are right") {
  Dice dice{2};
  const TextFolder folder;
  std::string text;
  for (int d = 0; d < 3000; ++d) {
    const std::uint64_t length = dice(20) == 0 ? 3000 : 1 + dice(60);
    for (std::uint64_t i = 0; i < length; ++i) text += static_cast<char>('a' + dice(26));
    text += dice(3) == 0 ? "\n\n\n" : "\n\n";
    if (dice(500) == 0) text += std::string(20000, '\n');
  }
  FileSet files({folder.write("text", text)});
  const auto documents = blank_line_documents(text);
  for (const std::size_t most : {std::size_t{8}, std::size_t{33}, std::size_t{100000}}) {
    for (const double rate : {0.0, 0.3}) {
      const FillInTheMiddle fim(rate, kKey);
      BlankLineIndex index(files, 0, files.bytes(), fim, 64, most);
      REQUIRE(index.marks() <= most);
      REQUIRE(index.documents() == documents.size());
      Document walk = index.find(0);
      std::uint64_t token = 0;
      for (std::size_t d = 0; d < documents.size(); ++d) {
        REQUIRE(walk.number == d);
        REQUIRE(walk.first_token == token);
        REQUIRE(walk.bytes == documents[d].size());
        token += walk.tokens();
        if (d % 100 == 0) {
          const Document found = index.find(token - 1);
          REQUIRE(found.number == d);
          REQUIRE(found.begin == walk.begin);
          REQUIRE(found.bytes == walk.bytes);
        }
        if (d + 1 < documents.size()) walk = index.next(walk);
      }
      REQUIRE(token == index.tokens());
    }
  }
}
