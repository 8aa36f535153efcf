#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/data_config.hpp"
#include "data/files.hpp"
#include "data/mixture.hpp"
#include "data/synthetic.hpp"
#include "data/tokenizer.hpp"

namespace moray {

class TokenStream;

/// What the other sections of a deck say about the data.
struct DataShape {
  std::uint64_t seed = 0;       ///< run.seed
  std::int64_t length = 0;      ///< T = batch.length; a window has T + 1 tokens
  std::int64_t vocabulary = 0;  ///< model.vocabulary
  std::string folder;           ///< of the deck; relative paths start here
};

/// The text that a model is trained on, as windows of T + 1 tokens.
///
/// Sample g of a run is a pure function of (data section, T, seed, g): any layout, and a run that
/// resumes, reads the same sequences. Corpora are read where they lie, a window by arithmetic and
/// about one pread; memory does not grow with the bytes of the corpus. All randomness is Philox by
/// (seed, position): docs/numerics/data.md. Not for two threads at a time.
class TrainingData {
 public:
  /// Opens the files, and with `documents: blank_lines` reads the text once.
  /// Error(io): data that are missing, empty, unreadable, or too short for one window.
  /// Error(usage): values that contradict each other, or a vocabulary below the tokenizer's.
  TrainingData(const DataConfig& config, const DataShape& shape);
  ~TrainingData();
  TrainingData(const TrainingData&) = delete;
  TrainingData& operator=(const TrainingData&) = delete;

  /// Samples there are before every source has given its max_epochs; Mixture::kEndless without such
  /// a limit. A run must not ask for more: compare before it starts.
  std::uint64_t samples() const;
  /// Fills (T + 1,) with sample g, each token checked against the vocabulary.
  /// Error(usage) when g >= samples(); Error(io) when a file cannot be read or has become shorter.
  void sample(std::uint64_t g, std::span<std::int32_t> tokens);

  /// Where sample g comes from; all 0 with synthetic text.
  struct Origin {
    std::size_t source = 0;
    std::uint64_t epoch = 0;   ///< of that source
    std::uint64_t window = 0;  ///< of its training part, in text order
  };
  Origin origin(std::uint64_t g) const;

  /// Windows of the validation parts, source after source, in text order, no token predicted twice,
  /// no fill-in-the-middle; those of `data.validation` when that names files.
  std::uint64_t validation_windows() const { return validation_windows_; }
  /// Fills (T + 1,) with window i < validation_windows().
  void validation_window(std::uint64_t i, std::span<std::int32_t> tokens);

  /// Sizes and XXH3-128 digests of all files, sources first, then validation. Reads everything: call
  /// it once, on one rank.
  std::vector<FileDigest> digests();

  struct Summary {
    std::string place;  ///< `data.sources[0]`
    std::size_t files = 0;
    std::uint64_t bytes = 0;
    std::uint64_t documents = 0, tokens = 0, windows = 0;  ///< of the training part
    std::uint64_t validation_windows = 0;
  };
  /// For the banner; empty with synthetic text.
  std::vector<Summary> summaries() const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  struct Source;
  void open_sources(const DataConfig& config);
  void open_validation(const DataConfig& config);
  void check_tokens(std::span<const std::int32_t> tokens, const std::string& place) const;

  DataShape shape_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Source> sources_;
  std::unique_ptr<Source> validation_;  // files of their own
  std::optional<Mixture> mixture_;
  std::optional<SyntheticText> synthetic_, synthetic_validation_;
  std::uint64_t validation_windows_ = 0;
};

}  // namespace moray
