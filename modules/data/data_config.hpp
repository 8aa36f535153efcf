#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moray {

class Section;

/// One entry of `data.sources`.
struct SourceConfig {
  std::vector<std::string> paths;  ///< files, folders, globs; relative to the deck's folder
  double weight = 1;               ///< share of the windows drawn, relative to the other sources
  double max_epochs = 0;           ///< 0: no limit
  friend bool operator==(const SourceConfig&, const SourceConfig&) = default;
};
void declare(Section& section, SourceConfig& config);

/// Deck section `data`.
struct DataConfig {
  std::vector<SourceConfig> sources;
  std::string tokenizer = "bytes";
  std::string documents =
      "file";           ///< what a document is: file | blank_lines | whole (all files of a source)
  double fim_rate = 0;  ///< fill-in-the-middle, PSM order, per document
  double validation_fraction = 0.1;     ///< the last part of each source
  std::vector<std::string> validation;  ///< files of their own; the fraction is then not taken
  std::string synthetic;  ///< "keyed": tokens from a key instead of files (golden runs)
  friend bool operator==(const DataConfig&, const DataConfig&) = default;
};
void declare(Section& section, DataConfig& config);
/// What the tokenizer asks of the vocabulary.
void declare_tokenizer_rules(Section& section, const DataConfig& config,
                             const std::int64_t& vocabulary);

}  // namespace moray
