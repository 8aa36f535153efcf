#include <string>
#include <vector>

#include "catch.hpp"
#include "config/tree.hpp"

using namespace moray;

namespace {

std::vector<std::string> problems_of(const std::string& text) {
  Problems problems;
  parse_yaml(text, problems);
  std::vector<std::string> lines;
  for (const Problem& p : problems.sorted())
    lines.push_back(to_string(p.place, "d") + ": " + p.message);
  return lines;
}
using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the tree keeps kinds, quotes and places", "[tree]") {
  Problems problems;
  const Node root = parse_yaml("a: 1\nb: [x, 'y', {c: ~}]\nd:\n", problems);
  REQUIRE(problems.empty());
  REQUIRE(root.kind == Node::Kind::map);
  const Node* a = root.find("a");
  REQUIRE(a != nullptr);
  CHECK(a->text == "1");
  CHECK(!a->quoted);
  CHECK(a->key_place.line == 1);
  CHECK(a->place.column == 4);
  const Node* b = root.find("b");
  REQUIRE(b != nullptr);
  REQUIRE(b->children.size() == 3);
  CHECK(b->children[1].quoted);
  CHECK(b->children[2].children[0].kind == Node::Kind::null);
  CHECK(b->children[2].children[0].key_place.column == 14);
  CHECK(root.find("d")->kind == Node::Kind::null);
  CHECK(root.find("e") == nullptr);
}

TEST_CASE("what a deck has no use for is refused where it stands", "[tree]") {
  CHECK(problems_of("a: &x 1\nb: *x\n") ==
        Lines{"d:1:4: anchors (&name) are not part of a deck; write the value out",
              "d:2:4: aliases (*name) are not part of a deck; write the value out"});
  CHECK(problems_of("a: &a [*a]\n") ==
        Lines{"d:1:4: anchors (&name) are not part of a deck; write the value out",
              "d:1:8: aliases (*name) are not part of a deck; write the value out"});
  CHECK(problems_of("a: !!int 3\n") ==
        Lines{"d:1:4: tags (!name) are not part of a deck; leave it out"});
  CHECK(problems_of("a: ! 3\n") ==
        Lines{"d:1:4: tags (!name) are not part of a deck; leave it out"});
  CHECK(problems_of("a: '! 3'\nb: \"!x\"\n") == Lines{});
  CHECK(problems_of("a: 1\nb: 2\na: 3\n") ==
        Lines{"d:3:1: key 'a' is given twice; the first is in line 1"});
  CHECK(problems_of("a: 1\n---\nb: 2\n") ==
        Lines{"d:2:1: a second document starts here; a deck is one document"});
  CHECK(problems_of("[a, b]: 1\n") == Lines{"d:1:1: a key must be plain text"});
  CHECK(problems_of("? {a: b}\n: 1\n") == Lines{"d:1:3: a key must be plain text"});
  CHECK(problems_of("a: [1, 2\n").size() == 1);
  CHECK(problems_of("---\na: 1\n...\n") == Lines{});
}

TEST_CASE("bytes that are no UTF-8 are refused", "[tree]") {
  CHECK(problems_of("\xef\xbb\xbf"
                    "a: 1") ==
        Lines{"d:1:1: a byte-order mark; save the file as UTF-8 without one"});
  CHECK(problems_of(std::string("a: 1\nb: \0", 9)) == Lines{"d:2:4: control character 0x00"});
  CHECK(problems_of("a: \x80") == Lines{"d:1:4: byte 0x80 is not UTF-8"});
  CHECK(problems_of("a: \xc0\xaf") == Lines{"d:1:4: byte 0xc0 is not UTF-8"});
  CHECK(problems_of("a: \xed\xa0\x80") == Lines{"d:1:4: byte 0xed is not UTF-8"});
  CHECK(problems_of("a: \xf4\x90\x80\x80") == Lines{"d:1:4: byte 0xf4 is not UTF-8"});
  CHECK(problems_of("a: \xf0\x9f\x90\x9f") == Lines{});
}

TEST_CASE("a deck is small and flat", "[tree]") {
  CHECK(problems_of(std::string(kLargestDeck + 1, '#')) ==
        Lines{"d:1:1: 1000001 bytes; a deck has at most 1000000"});
  CHECK(problems_of("a: " + std::string(16, '[') + std::string(16, ']')).at(0) ==
        "d:1:19: nested deeper than 16 levels");
  CHECK(problems_of(std::string(kDeepestDeck, '[') + std::string(kDeepestDeck, ']')) == Lines{});
}

TEST_CASE("a billion laughs are refused at the first", "[tree]") {
  std::string text = "a0: &a0 [ha, ha]\n";
  for (int i = 1; i < 60; ++i) {
    const std::string n = std::to_string(i), before = std::to_string(i - 1);
    text += "a" + n + ": &a" + n + " [*a" + before + ", *a" + before + "]\n";
  }
  CHECK(problems_of(text).size() == 60 + 2 * 59);
}

TEST_CASE("flow YAML reads back the same", "[tree]") {
  Problems problems;
  const std::string text = "{a: 1, b: [x, \"1\", \"\", null], \"c d\": {e: \"q\\\"\\\\\\n\\x01\"}}";
  const Node once = parse_yaml(text, problems);
  const Node twice = parse_yaml(to_flow_yaml(once), problems);
  CHECK(problems.empty());
  CHECK(to_flow_yaml(once) == to_flow_yaml(twice));
  CHECK(to_flow_yaml(once) == text);
}
