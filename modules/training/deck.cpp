#include "training/deck.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "config/reader.hpp"
#include "core/error.hpp"

namespace moray {

namespace {

// Reads a resolved deck back into declarations. Its text was written by the program, so a problem
// means that another version wrote it.
void read_resolved(Section& root, const std::string& text, const std::string& whose) {
  Problems problems;
  const Node tree = parse_yaml(text, problems);
  read_sections(root, tree, ".", problems);
  if (!problems.empty()) throw Error(ExitCode::usage, problems.report(whose));
}

}  // namespace

DeckReading read_deck_text(const std::string& text, const std::string& path,
                           const std::vector<std::string>& overrides, std::int64_t ranks) {
  DeckReading result;
  result.text = text;
  Problems& problems = result.problems;

  Section root = declare_deck(result.deck);
  Node tree = parse_yaml(text, problems);
  expand_shorthands(root, tree);
  for (const std::string& override : overrides) {
    apply_override(tree, override, problems);
    expand_shorthands(root, tree);
  }

  const std::filesystem::path file(path);
  const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
  read_sections(root, tree, folder, problems);
  if (result.deck.run.name.empty()) root.find("run.name")->set_default_text(file.stem().string());
  if (ranks > 0) root.find("run.ranks")->set_launched(ranks);
  check_rules(root, problems);
  if (problems.empty()) result.resolved = resolved_deck(root, path);
  return result;
}

DeckReading try_read_deck(const std::string& path, const std::vector<std::string>& overrides,
                          std::int64_t ranks) {
  return read_deck_text(read_deck_file(path), path, overrides, ranks);
}

Deck read_deck(const std::string& path, const std::vector<std::string>& overrides,
               std::string* resolved, std::int64_t ranks) {
  DeckReading reading = try_read_deck(path, overrides, ranks);
  if (!reading.problems.empty()) throw Error(ExitCode::usage, reading.problems.report(path));
  if (resolved != nullptr) *resolved = reading.resolved;
  return reading.deck;
}

void require_resumable(const std::string& resolved_then, const std::string& resolved_now,
                       const std::string& checkpoint, const std::string& deck) {
  Deck deck_then;
  Deck deck_now;
  Section then = declare_deck(deck_then);
  Section now = declare_deck(deck_now);
  read_resolved(then, resolved_then, "deck in " + checkpoint);
  read_resolved(now, resolved_now, deck);
  const std::vector<FixedChange> changes = fixed_changes(then, now);
  if (changes.empty()) return;
  std::string text = fmt::format("{}: cannot be resumed with {}:\n", checkpoint, deck);
  for (const FixedChange& change : changes)
    text +=
        fmt::format("  {}: {} in the checkpoint, {} now\n", change.key, change.then, change.now);
  throw Error(ExitCode::usage,
              text +
                  "These keys are fixed on resume. Set them back, or start a new run "
                  "from its weights with `init: {from: CHECKPOINT}`.");
}

}  // namespace moray
