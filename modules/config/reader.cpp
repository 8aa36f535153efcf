#include "config/reader.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "config/nearest.hpp"
#include "config/remedies.hpp"
#include "core/error.hpp"

namespace moray {

namespace {

class Reader {
 public:
  Reader(Section& root, const std::string& folder, Problems& problems)
      : root_(root), folder_(folder), problems_(problems) {}

  void read(Section& section, const Node& node) {
    if (node.kind != Node::Kind::map && node.kind != Node::Kind::null) {
      const bool whole = section.path().empty();
      problems_.add(node.place, whole ? std::string("a deck is a map of sections")
                                      : fmt::format("'{}' takes a map of keys", section.path()));
      give_up(section);
      return;
    }
    section.place = node.key.empty() ? node.place : node.key_place;
    for (const Node& child : node.children) {
      if (!read_child(section, child)) unknown(section, child);
    }
    report_missing(section, node);
  }

 private:
  bool read_child(Section& section, const Node& child) {
    for (Key& key : section.keys()) {
      if (key.name() != child.key) continue;
      const std::string error = key.read(child, folder_);
      if (!error.empty())
        problems_.add(child.kind == Node::Kind::null ? child.key_place : child.place,
                      fmt::format("{} {} ({})", section.full(key.name()), error, key.signature()));
      return true;
    }
    for (Section& inner : section.sections()) {
      if (inner.name() != child.key) continue;
      read(inner, child);
      return true;
    }
    for (SectionList& list : section.lists()) {
      if (list.name != child.key) continue;
      read_list(section, list, child);
      return true;
    }
    if (!section.free_name().empty() && section.free_name() == child.key) {
      section.free_value() = child;
      return true;
    }
    return false;
  }

  void read_list(Section& section, SectionList& list, const Node& node) {
    list.place = node.place;
    if (node.kind != Node::Kind::list) {
      list.bad = true;
      problems_.add(node.place, fmt::format("'{}' is a list of maps", section.full(list.name)));
      return;
    }
    list.resize(node.children.size());
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      list.entries.push_back(list.declared(i));
      read(list.entries.back(), node.children[i]);
    }
  }

  void report_missing(Section& section, const Node& node) {
    for (Key& key : section.keys()) {
      if (!key.is_required() || key.given()) continue;
      key.mark_missing();
      problems_.add(section.place, fmt::format("missing key '{}' ({})", section.full(key.name()),
                                               key.signature()));
    }
    for (Section& inner : section.sections()) {
      if (node.find(inner.name()) != nullptr) continue;
      inner.place = section.place;
      Node nothing;
      nothing.place = section.place;
      read(inner, nothing);
    }
  }

  // After a section that is no map, nothing below it can be checked against rules.
  void give_up(Section& section) {
    for (Key& key : section.keys()) key.mark_missing();
    for (SectionList& list : section.lists()) list.bad = true;
    for (Section& inner : section.sections()) give_up(inner);
  }

  void unknown(Section& section, const Node& child) {
    if (problems_.full()) return;
    const std::string name = section.full(shown(child.key));
    const bool top = section.path().empty();
    std::string message = fmt::format("unknown {} '{}'", top ? "section" : "key", name);
    if (child.key == "<<") message += "; merge keys are not part of a deck";
    std::vector<std::string> near;
    for (Key& key : section.keys()) near.push_back(key.name());
    for (Section& inner : section.sections()) near.push_back(inner.name());
    for (SectionList& list : section.lists()) near.push_back(list.name);
    if (!section.free_name().empty()) near.push_back(section.free_name());
    if (const auto best = nearest_name(child.key, near)) {
      message += fmt::format("; did you mean '{}'?", *best);
      for (Key& key : section.keys())
        if (key.name() == *best) message += fmt::format(" ({})", key.signature());
    } else if (const std::string elsewhere = find_elsewhere(root_, child.key); !elsewhere.empty()) {
      message +=
          fmt::format("; did you mean '{}'? ({})", elsewhere, root_.find(elsewhere)->signature());
    }
    problems_.add(child.key_place, message);
  }

  // The full name of a key of that name in any section.
  std::string find_elsewhere(Section& section, const std::string& name) {
    for (Key& key : section.keys())
      if (key.name() == name) return section.full(name);
    for (Section& inner : section.sections())
      if (std::string found = find_elsewhere(inner, name); !found.empty()) return found;
    return "";
  }

  Section& root_;
  const std::string& folder_;
  Problems& problems_;
};

// What a rule needs to know of a key or a list.
struct Involved {
  bool readable;
  Place place;
  std::string value;
};

Involved involved(Section& root, const std::string& name) {
  if (const Key* key = root.find(name)) return {!key->bad(), key->place(), key->text()};
  const SectionList* list = root.find_list(name);
  MORAY_REQUIRE(list != nullptr);
  return {!list->bad, list->place, fmt::format("a list of {}", list->entries.size())};
}

void check_rules_of(Section& root, Section& section, Problems& problems) {
  for (const Rule& rule : section.rules()) {
    bool readable = true;
    Place place;
    std::string values;
    for (const std::string& name : rule.keys) {
      const Involved one = involved(root, name);
      const bool given = one.place.origin != Place::Origin::by_default;
      readable = readable && one.readable;
      if (one.place.origin > place.origin) place = one.place;
      values += fmt::format("{}{} = {}{}", values.empty() ? "" : ", ", name, one.value,
                            given ? "" : " by default");
    }
    if (!readable) continue;
    const std::string broken = rule.broken();
    if (broken.empty()) continue;
    if (place.origin == Place::Origin::by_default) place = section.place;
    problems.add(place, fmt::format("{} ({}{}){}", rule.sentence, values,
                                    broken == "-" ? "" : "; " + broken, remedies_text(root, rule)));
  }
  for (Section& inner : section.sections()) check_rules_of(root, inner, problems);
}

void mark_typed(Node& node) {
  node.place = node.key_place = Place::on_command_line();
  for (Node& child : node.children) mark_typed(child);
}

}  // namespace

void read_sections(Section& root, const Node& tree, const std::string& folder, Problems& problems) {
  Reader(root, folder, problems).read(root, tree);
}

void check_rules(Section& root, Problems& problems) {
  check_rules_of(root, root, problems);
}

void apply_override(Node& tree, const std::string& text, Problems& problems) {
  const Place typed = Place::on_command_line();
  const std::size_t equals = text.find('=');
  const std::string path = text.substr(0, equals);
  if (equals == std::string::npos || path.empty() || path.front() == '.' || path.back() == '.' ||
      path.find("..") != std::string::npos) {
    problems.add(typed, fmt::format("'{}' is not of the form section.key=value", text));
    return;
  }
  Problems wrong;
  Node value;
  if (equals + 1 == text.size()) {
    value.kind = Node::Kind::scalar;  // `init.from=` is empty text
    value.quoted = true;
  } else {
    value = parse_yaml(text.substr(equals + 1), wrong);
  }
  for (const Problem& problem : wrong.sorted())
    problems.add(typed, fmt::format("'{}': {}", text, problem.message));
  if (!wrong.empty()) return;
  mark_typed(value);

  Node* node = &tree;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (node->kind == Node::Kind::null) {
      node->kind = Node::Kind::map;
    } else if (node->kind != Node::Kind::map) {
      problems.add(typed, fmt::format("'{}' is a value, not a section ('{}')",
                                      path.substr(0, begin == 0 ? 0 : begin - 1), text));
      return;
    }
    auto at = node->children.begin();
    while (at != node->children.end() && at->key != name) ++at;
    if (at == node->children.end()) {
      Node fresh;
      fresh.key = name;
      fresh.place = fresh.key_place = typed;
      at = node->children.insert(at, std::move(fresh));
    }
    node = &*at;
    begin = end + 1;
  }
  value.key = std::move(node->key);
  *node = std::move(value);
}

void expand_shorthands(Section& root, Node& tree) {
  for (Node& child : tree.children) {
    Section* const section = root.find_section(child.key);
    if (section == nullptr || section->shorthand().empty()) continue;
    if (child.kind != Node::Kind::scalar || child.refused) continue;
    Node map;
    map.kind = Node::Kind::map;
    map.place = child.place;
    map.key_place = child.key_place;
    map.key = std::exchange(child.key, section->shorthand());
    map.children.push_back(std::move(child));
    child = std::move(map);
  }
}

std::string read_deck_file(const std::string& path, std::string_view what) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr)
    fail(ExitCode::usage, "{}: cannot open {}: {}", path, what, std::strerror(errno));
  std::string text(kLargestDeck + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0)
    fail(ExitCode::usage, "{}: cannot read {}: {}", path, what, std::strerror(errno));
  return text;
}

}  // namespace moray
