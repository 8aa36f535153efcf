#include "catch.hpp"
#include "core/error.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"

using namespace moray;

TEST_CASE("bytes are tokens, special tokens follow") {
  const auto tokenizer = make_tokenizer("bytes");
  CHECK(tokenizer->vocabulary() == 260);
  CHECK(tokenizer->special().bos == kNoToken);
  CHECK(tokenizer->special().eos == 256);
  CHECK(tokenizer->special().fim_begin == 257);
  CHECK(tokenizer->special().fim_hole == 258);
  CHECK(tokenizer->special().fim_end == 259);
  CHECK(tokenizer->special_name(259) == "<|fim_end|>");
  CHECK(tokenizer->special_name(65).empty());
  CHECK(tokenizer->encode("A\xC3\xA9") == std::vector<std::int32_t>{65, 0xC3, 0xA9});
}

TEST_CASE("any bytes survive, and no text spells a special token") {
  const ByteTokenizer tokenizer;
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  all += "<|eos|>";
  const auto tokens = tokenizer.encode(all);
  CHECK(tokens.size() == 256 + 7);
  CHECK(tokenizer.decode(tokens) == all);
  for (const auto token : tokens) CHECK(token < 256);
  const std::vector<std::int32_t> mixed{72, 256, 105, 258};
  CHECK(tokenizer.decode(mixed) == "Hi");
}

TEST_CASE("a token outside the vocabulary and an unknown tokenizer are usage errors") {
  const ByteTokenizer tokenizer;
  CHECK_THROWS_AS(tokenizer.bytes(260), Error);
  CHECK_THROWS_AS(tokenizer.bytes(-1), Error);
  CHECK_THROWS_AS(make_tokenizer("words"), Error);
}

namespace {

std::string stream(std::string_view bytes, std::size_t piece) {
  Utf8Stream utf8;
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += piece) text += utf8.push(bytes.substr(i, piece));
  return text + utf8.finish();
}

}  // namespace

TEST_CASE("text in pieces comes out whole, whatever the pieces") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) CHECK(stream(text, piece) == text);
  Utf8Stream utf8;
  CHECK(utf8.push("\xE2\x82").empty());
  CHECK(utf8.push("\xAC") == "\xE2\x82\xAC");
}

TEST_CASE("ill-formed bytes become one replacement for each maximal piece") {
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(stream("a\xFF"
               "b",
               1) == "a" + bad + "b");
  CHECK(stream("\xC0\xAF", 1) == bad + bad);                      // overlong
  CHECK(stream("\xE0\x80\x80", 1) == bad + bad + bad);            // overlong
  CHECK(stream("\xED\xA0\x80", 1) == bad + bad + bad);            // surrogate
  CHECK(stream("\xF4\x90\x80\x80", 1) == bad + bad + bad + bad);  // above U+10FFFF
  CHECK(stream("\xF0\x9F\x98", 1) == bad);                        // cut at the end
  CHECK(stream("\xF0\x9F\x98"
               "A",
               2) == bad + "A");
  CHECK(stream("\xE2\xC3\xA9", 1) == bad + "\xC3\xA9");  // a new begin inside
  CHECK(stream("\x80", 1) == bad);
}
