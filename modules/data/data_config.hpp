#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moray {

/// One entry of `data.sources`.
struct SourceConfig {
  std::vector<std::string> paths;  ///< files, folders, globs; relative to the deck's folder
  double weight = 1;               ///< share of the windows drawn, relative to the other sources
  double max_epochs = 0;           ///< 0: no limit
};

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
};

}  // namespace moray
