#include "data/data_config.hpp"

#include "config/section.hpp"

namespace moray {

namespace {
constexpr std::int64_t kByteVocabulary = 260;  // 256 bytes and four special tokens
}

void declare(Section& section, SourceConfig& config) {
  section
      .key("paths", config.paths,
           "Text files, folders and globs. On resume their content must be the same, not their "
           "place.")
      .path()
      .required()
      .free();
  section.key("weight", config.weight, "Share of the windows drawn, relative to the other sources.")
      .above(0);
  section
      .key("max_epochs", config.max_epochs, "At most so many passes over this source; 0: no limit.")
      .at_least(0);
}

void declare(Section& section, DataConfig& config) {
  section.list("sources", "The training text.", config.sources);
  section
      .key("tokenizer", config.tokenizer, "bytes: every byte is a token, besides special tokens.")
      .one_of({"bytes"});
  section
      .key("documents", config.documents,
           "What a document is: a file, a part between blank lines, or all of it (whole).")
      .one_of({"file", "blank_lines", "whole"});
  section
      .key("fim_rate", config.fim_rate,
           "Share of documents rearranged for fill-in-the-middle (prefix, suffix, middle); "
           "DeepSeek-V3 takes 0.1.")
      .at_least(0)
      .at_most(1);
  section
      .key("validation_fraction", config.validation_fraction,
           "Share of each source, its last part, that is kept for validation.")
      .at_least(0)
      .below(1);
  section
      .key("validation", config.validation,
           "Validation files of their own; nothing is then taken from the sources.")
      .path()
      .free();
  section
      .key("synthetic", config.synthetic,
           "keyed: tokens made from a key instead of files, for tests.")
      .one_of({"", "keyed"});
  section.rule({"data.sources", "data.synthetic"}, "either data.sources or data.synthetic is given",
               [&] { return config.sources.empty() != config.synthetic.empty(); });
  section.rule({"data.validation", "data.synthetic"}, "data.synthetic has no data.validation",
               [&] { return config.synthetic.empty() || config.validation.empty(); });
}

void declare_tokenizer_rules(Section& section, const DataConfig& config,
                             const std::int64_t& vocabulary) {
  section.rule(
      {"model.vocabulary", "data.tokenizer"},
      "model.vocabulary is at least 260 for the byte tokenizer (256 bytes, 4 special tokens)",
      [&] { return config.tokenizer != "bytes" || vocabulary >= kByteVocabulary; });
}

}  // namespace moray
