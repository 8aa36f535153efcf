#include "config/resolved.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace moray {

namespace {

constexpr std::size_t kCommentColumn = 40;

std::string origin(const Place& place, const std::string& file) {
  return place.origin == Place::Origin::by_default ? "default" : to_string(place, file);
}

std::string line(std::size_t indent, const std::string& text, const std::string& comment) {
  std::string result = std::string(indent, ' ') + text;
  if (result.size() < kCommentColumn) result.append(kCommentColumn - result.size(), ' ');
  return fmt::format("{}  # {}\n", result, comment);
}

std::string body(Section& section, std::size_t indent, const std::string& file) {
  std::string text;
  for (const Key& key : section.keys())
    text += line(indent, fmt::format("{}: {}", key.name(), key.text()), origin(key.place(), file));
  for (SectionList& list : section.lists()) {
    if (list.entries.empty()) {
      text += line(indent, list.name + ": []", origin(list.place, file));
      continue;
    }
    text += fmt::format("{}{}:\n", std::string(indent, ' '), list.name);
    for (Section& entry : list.entries) {
      std::string item = body(entry, indent + 4, file);
      item[indent + 2] = '-';
      text += item;
    }
  }
  for (Section& inner : section.sections()) {
    text += fmt::format("{}{}:\n", std::string(indent, ' '), inner.name());
    text += body(inner, indent + 2, file);
  }
  return text;
}

}  // namespace

std::string resolved_deck(Section& root, const std::string& file) {
  std::string text =
      fmt::format("# {}, resolved: every key with its value and where that comes from.\n", file);
  text += body(root, 0, file);
  if (root.free_value().kind == Node::Kind::map)
    text += fmt::format("{}: {}\n", root.free_name(), to_flow_yaml(root.free_value()));
  return text;
}

std::vector<FixedChange> fixed_changes(Section& then, Section& now) {
  std::vector<FixedChange> changes;
  for (std::size_t i = 0; i < now.keys().size(); ++i) {
    const Key& a = then.keys()[i];
    const Key& b = now.keys()[i];
    if (b.resume() == Resume::fixed && a.text() != b.text())
      changes.push_back({now.full(b.name()), a.text(), b.text()});
  }
  for (std::size_t i = 0; i < now.lists().size(); ++i) {
    SectionList& a = then.lists()[i];
    SectionList& b = now.lists()[i];
    if (a.entries.size() != b.entries.size()) {
      changes.push_back({now.full(b.name), fmt::format("{} entries", a.entries.size()),
                         fmt::format("{} entries", b.entries.size())});
      continue;
    }
    for (std::size_t k = 0; k < b.entries.size(); ++k)
      for (FixedChange& change : fixed_changes(a.entries[k], b.entries[k])) {
        change.key = fmt::format("{} (entry {})", change.key, k + 1);
        changes.push_back(std::move(change));
      }
  }
  for (std::size_t i = 0; i < now.sections().size(); ++i)
    for (FixedChange& change : fixed_changes(then.sections()[i], now.sections()[i]))
      changes.push_back(std::move(change));
  return changes;
}

}  // namespace moray
