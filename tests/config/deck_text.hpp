#pragma once

#include <string>
#include <vector>

#include "training/deck.hpp"

/// A valid deck whose lines the tests know; each key stands on a line of its own.
inline const std::string kGoodDeck =
    "run: {length: 20 steps}\n"                 // 1
    "model:\n"                                  // 2
    "  vocabulary: 260\n"                       // 3
    "  width: 32\n"                             // 4
    "  layers: 2\n"                             // 5
    "  dense_layers: 1\n"                       // 6
    "  dense_width: 64\n"                       // 7
    "attention: {heads: 2}\n"                   // 8
    "moe: {experts: 4, top_k: 2, width: 16}\n"  // 9
    "batch: {sequences: 8, length: 32}\n"       // 10
    "data: {synthetic: keyed}\n";               // 11

/// The reported lines of a deck named deck.yaml, without the closing count; empty when it is valid.
inline std::vector<std::string> errors_of(const std::string& text,
                                          const std::vector<std::string>& overrides = {},
                                          std::int64_t ranks = 0) {
  const moray::DeckReading reading = moray::read_deck_text(text, "deck.yaml", overrides, ranks);
  std::vector<std::string> lines;
  for (const moray::Problem& problem : reading.problems.sorted())
    lines.push_back(moray::to_string(problem.place, "deck.yaml") + ": " + problem.message);
  return lines;
}

/// The good deck with one text put in the place of another.
inline std::string changed(const std::string& from, const std::string& to) {
  std::string text = kGoodDeck;
  const std::size_t at = text.find(from);
  return at == std::string::npos ? "the deck of the tests lacks " + from
                                 : text.replace(at, from.size(), to);
}

using Lines = std::vector<std::string>;
