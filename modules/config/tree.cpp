#include "config/tree.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "config/utf8.hpp"

namespace moray {

namespace {

Place place_of(const YAML::Mark& mark) {
  if (mark.is_null()) return Place::in_file(1, 1);
  return Place::in_file(mark.line + 1, mark.column + 1);
}

// Ends the parse at a place from which going on makes no sense.
struct Stop {};

// Builds the tree from the parser's events, which come before yaml-cpp would expand anything.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::string_view text, Node& root, Problems& problems)
      : text_(text), problems_(problems), root_(root) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    report(place_of(mark), "a second document starts here; a deck is one document");
    throw Stop{};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check_properties(mark, "", anchor);
    add(Node::Kind::null, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    report(place_of(mark), "aliases (*name) are not part of a deck; write the value out");
    add(Node::Kind::null, mark)->refused = true;
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_properties(mark, tag, anchor);
    if (wants_key()) {
      take_key(mark, value);
      return;
    }
    Node* node = add(Node::Kind::scalar, mark);
    node->text = value;
    node->quoted = tag != "?";
    node->refused = tagged(mark, tag);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_properties(mark, tag, anchor);
    open(Node::Kind::list, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_properties(mark, tag, anchor);
    open(Node::Kind::map, mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    Node* node;
    bool has_key = false;
    std::string key;
    Place key_place;
    std::unordered_set<std::string> seen;
  };

  void report(Place place, std::string message) {
    problems_.add(place, std::move(message));
    if (problems_.full()) throw Stop{};
  }

  bool wants_key() const {
    return !frames_.empty() && frames_.back().node->kind == Node::Kind::map &&
           !frames_.back().has_key;
  }

  void check_properties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0)
      report(place_of(mark), "anchors (&name) are not part of a deck; write the value out");
    if (tagged(mark, tag))
      report(place_of(mark), "tags (!name) are not part of a deck; leave it out");
  }

  // The parser says "?" for plain and "!" for quoted text, but "!" may also have been written.
  bool tagged(const YAML::Mark& mark, const std::string& tag) const {
    const auto at = static_cast<std::size_t>(mark.pos);
    const bool written = mark.pos >= 0 && at < text_.size() && text_[at] == '!';
    return (!tag.empty() && tag != "?" && tag != "!") || written;
  }

  void take_key(const YAML::Mark& mark, const std::string& name) {
    Frame& frame = frames_.back();
    frame.has_key = true;
    frame.key = name;
    frame.key_place = place_of(mark);
    if (!frame.seen.insert(name).second) {
      const Node* first = frame.node->find(name);
      report(frame.key_place, fmt::format("key '{}' is given twice; the first is in line {}",
                                          shown(name), first->key_place.line));
    }
  }

  // Puts a new node below the innermost open one.
  Node* add(Node::Kind kind, const YAML::Mark& mark) {
    Node* node = &root_;
    if (!frames_.empty()) {
      if (wants_key()) {
        report(place_of(mark), "a key must be plain text");
        throw Stop{};
      }
      Frame& frame = frames_.back();
      node = &frame.node->children.emplace_back();
      node->key = std::exchange(frame.key, {});
      node->key_place = frame.key_place;
      frame.has_key = false;
    }
    node->kind = kind;
    node->place = place_of(mark);
    return node;
  }
  void open(Node::Kind kind, const YAML::Mark& mark) {
    if (frames_.size() >= kDeepestDeck) {
      report(place_of(mark), fmt::format("nested deeper than {} levels", kDeepestDeck));
      throw Stop{};
    }
    // Only the newest child of a node is ever open, so the pointers on the stack stay valid.
    frames_.push_back({add(kind, mark), false, {}, {}, {}});
  }
  void close() { frames_.pop_back(); }

  std::string_view text_;
  Problems& problems_;
  Node& root_;
  std::vector<Frame> frames_;
  int documents_ = 0;
};

}  // namespace

const Node* Node::find(std::string_view name) const {
  for (const Node& child : children)
    if (child.key == name) return &child;
  return nullptr;
}

Node parse_yaml(std::string_view text, Problems& problems) {
  Node root;
  root.place = Place::in_file(1, 1);
  if (text.size() > kLargestDeck) {
    problems.add(root.place,
                 fmt::format("{} bytes; a deck has at most {}", text.size(), kLargestDeck));
    return root;
  }
  if (const auto bad = first_bad_byte(text)) {
    problems.add(Place::in_file(bad->line, bad->column), bad->what);
    return root;
  }
  std::istringstream stream{std::string(text)};
  Builder builder(text, root, problems);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop&) {
  } catch (const YAML::Exception& error) {
    problems.add(place_of(error.mark), fmt::format("not YAML: {}", error.msg));
  }
  return root;
}

std::string quote_yaml(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

namespace {

// Text that means the same without quotes wherever it stands.
bool is_plain(std::string_view text) {
  if (text.empty() || text.front() == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c == '-' || c == '+';
  });
}

std::string scalar_text(const std::string& text, bool quoted) {
  return quoted || !is_plain(text) ? quote_yaml(text) : text;
}

}  // namespace

std::string to_flow_yaml(const Node& node) {
  std::string result;
  switch (node.kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::scalar:
      return scalar_text(node.text, node.quoted);
    case Node::Kind::list:
      for (const Node& child : node.children)
        result += (result.empty() ? "" : ", ") + to_flow_yaml(child);
      return "[" + result + "]";
    case Node::Kind::map:
      for (const Node& child : node.children)
        result += (result.empty() ? "" : ", ") + scalar_text(child.key, false) + ": " +
                  to_flow_yaml(child);
      return "{" + result + "}";
  }
  return result;
}

}  // namespace moray
