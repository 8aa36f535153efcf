#include "config/reference.hpp"

#include <fmt/format.h>

#include "config/nearest.hpp"
#include "core/error.hpp"

namespace moray {

namespace {

constexpr const char* kIntroduction = R"(# Deck reference

A deck is one YAML file: a map of the sections below, in any order. It is read strictly: an unknown,
repeated, mistyped or missing key, a value out of range and sizes that do not fit together are errors,
all of them reported in one go with file, line and column.

- A number may be written as 4096, 1e5 or 2.2e-4; 0777, inf, nan and numbers in quotes are refused.
- An amount is a number of steps, samples (sequences) or tokens: `2000`, `2000 steps`, `3e6 samples`,
  `469e9 tokens`.
- Paths are relative to the folder of the deck.
- Anchors, aliases, tags, merge keys and several documents are refused.
- `moray train DECK moe.top_k=4` sets a key from the command line; paths there are relative to the
  working folder.
- *fixed*: cannot change when a run is resumed from a checkpoint; *free*: can.

`moray help deck SECTION` prints one section, `moray check DECK` checks a deck and
`moray train DECK --print-deck` prints it with every default and the origin of every value.
)";

std::string one_key(const Key& key) {
  std::string text = fmt::format("- `{}`: {}; {}\n", key.name(), key.signature(),
                                 key.resume() == Resume::fixed ? "fixed" : "free");
  text += fmt::format("  {}\n", key.doc());
  if (!key.source_of_default().empty())
    text += fmt::format("  Default from: {}.\n", key.source_of_default());
  return text;
}

std::string all_rules(const Section& section) {
  std::string text;
  for (const Rule& rule : section.rules()) text += fmt::format("- {}\n", rule.sentence);
  return text;
}

std::string one_section(Section& section) {
  std::string text = fmt::format("\n## {}\n\n{}\n\n", section.path(), section.doc());
  if (!section.shorthand().empty()) {
    text += fmt::format("`{0}: VALUE` is short for `{0}: {{{1}: VALUE}}`.\n\n", section.path(),
                        section.shorthand());
  }
  for (const Key& key : section.keys()) text += one_key(key);
  for (SectionList& list : section.lists()) {
    text += fmt::format("- `{}`: list of maps\n  {} Each entry has:\n", list.name, list.doc);
    for (const Key& key : list.prototype->keys()) {
      std::string entry = one_key(key);
      entry.pop_back();
      for (std::size_t at = 0; at != std::string::npos; at = entry.find('\n', at + 2))
        entry.insert(at == 0 ? 0 : at + 1, "  ");
      text += entry + "\n";
    }
  }
  if (!section.rules().empty()) text += "\nRules:\n\n" + all_rules(section);
  for (Section& inner : section.sections()) text += one_section(inner);
  return text;
}

void all_names(Section& section, std::vector<std::string>& names) {
  for (Section& inner : section.sections()) {
    names.push_back(inner.path());
    all_names(inner, names);
  }
}

}  // namespace

std::string deck_reference(Section& root, const std::string& name) {
  if (!name.empty()) {
    if (Section* section = root.find_section(name)) return one_section(*section).substr(1);
    std::vector<std::string> names;
    all_names(root, names);
    const auto near = nearest_name(name, names);
    fail(ExitCode::usage, "a deck has no section '{}'{}", name,
         near ? fmt::format("; did you mean '{}'?", *near) : "; `moray help deck` lists them");
  }
  std::string text = kIntroduction;
  for (Section& section : root.sections()) text += one_section(section);
  if (!root.free_name().empty())
    text += fmt::format("\n## {}\n\n{}\n", root.free_name(), root.free_doc());
  if (!root.rules().empty()) text += "\n# Rules between sections\n\n" + all_rules(root);
  return text;
}

}  // namespace moray
