#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "catch.hpp"
#include "core/collective.hpp"
#include "core/error.hpp"
#include "io/digest.hpp"
#include "io/files.hpp"
#include "io/json.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

TEST_CASE("digests are those of xxhsum -H2", "[digest]") {
  // Published test vectors of XXH3-128 with seed 0.
  CHECK(digest_of("").hex() == "99aa06d3014798d86001c324468d497f");
  const std::string text(100000, 'm');
  DigestStream stream;
  stream.add(text.data(), 1);
  stream.add(text.data() + 1, 70000);
  stream.add(text.data() + 70001, text.size() - 70001);
  CHECK(stream.value() == digest_of(text));
  CHECK(Digest::parse(digest_of(text).hex()) == digest_of(text));
  CHECK_FALSE(Digest::parse("99aa06d3014798d86001c324468d497"));
  CHECK_FALSE(Digest::parse("99AA06d3014798d86001c324468d497f"));
}

TEST_CASE("JSON is read under bounds", "[json]") {
  const JsonLimits limits{1000, 4};
  const auto parse = [&](const std::string& text) { return parse_json(text, limits, "f.json"); };
  const auto json = parse(R"({"a":[1,{"b":"x"}],"c":-2.5,"d":18446744073709551615,"e":null})");
  CHECK(json_array(json, "a", "f").size() == 2);
  CHECK(json["a"][1]["b"] == "x");
  CHECK_THROWS_AS(json_integer(json, "c", "f"), Error);
  CHECK_THROWS_AS(json_integer(json, "d", "f"), Error);
  CHECK_THROWS_AS(json_integer(json, "nothing", "f"), Error);
  CHECK_THROWS_AS(json_string(json, "a", "f"), Error);
  for (const char* bad : {"", "{", "[1,]", R"({"a":1,"a":2})", "[[[[[1]]]]]", "{} {}", "\"\xff\"",
                          "[1e999]", "nul", "// x\n{}"}) {
    INFO(bad);
    CHECK_THROWS_AS(parse(bad), Error);
  }
  CHECK_NOTHROW(parse("[[[[1]]]]"));
  CHECK_THROWS_AS(parse("[" + std::string(1000, ' ') + "]"), Error);
  CHECK_THROWS_AS(parse_json(std::string(1000000, '['), {}, "f"), Error);
}

TEST_CASE("short writes and signals do not cut a file", "[files]") {
  TemporaryFolder folder;
  const FileCalls saved = file_calls();
  file_calls().pwrite = [](int descriptor, const void* data, std::size_t size, off_t at) {
    static int call = 0;
    if (++call % 3 == 0) {
      errno = EINTR;
      return ssize_t{-1};
    }
    return ::pwrite(descriptor, data, std::min<std::size_t>(size, 7), at);
  };
  const std::string text = "a text of more than seven bytes, in a file";
  replace_text(folder / "file", text);
  file_calls() = saved;
  CHECK(read_text(folder / "file", 100) == text);
  CHECK_THROWS_AS(read_text(folder / "file", 10), Error);
  CHECK(list_folder(folder.path()) == std::vector<std::string>{"file"});
  char byte = 0;
  CHECK_THROWS_AS(File(folder / "file", O_RDONLY).read(&byte, 1, 1000), Error);
  CHECK_THROWS_AS(File(folder / "nothing", O_RDONLY), Error);
  CHECK_THROWS_AS(File(folder.path(), O_RDONLY).size(), Error);
}

TEST_CASE("an exchange alone gives back what was sent", "[collective]") {
  SerialCollective alone;
  CHECK(alone.exchange({"text"}) == std::vector<std::string>{"text"});
}

TEST_CASE("what fails on one rank is an error on all", "[collective]") {
  const auto errors = run_ranks(3, [](Collective& ranks) {
    agree(ranks, [] {});
    agree(ranks, [&] {
      if (ranks.rank() > 0) throw std::runtime_error("disk " + std::to_string(ranks.rank()));
    });
  });
  CHECK(errors == std::vector<std::string>(3, "rank 1: disk 1 (and 1 other ranks)"));
}
