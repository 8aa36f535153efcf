#include "data/documents.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace moray {

DocumentMode document_mode(std::string_view name) {
  if (name == "file") return DocumentMode::file;
  if (name == "blank_lines") return DocumentMode::blank_lines;
  if (name == "whole") return DocumentMode::whole;
  fail(ExitCode::usage, "data.documents: '{}' is none of file, blank_lines, whole", name);
}

TableIndex::TableIndex(const FileSet& files, std::uint64_t begin, std::uint64_t end, bool per_file,
                       const FillInTheMiddle& fim)
    : fim_(fim), tokens_(1, 0) {
  if (begin < end) begins_.push_back(begin);
  if (per_file) {
    for (std::size_t file = 0; file < files.count(); ++file) {
      if (files.begin(file) > begin && files.begin(file) < end)
        begins_.push_back(files.begin(file));
    }
  }
  begins_.push_back(end);
  for (std::uint64_t number = 0; number + 1 < begins_.size(); ++number) {
    const std::uint64_t bytes = begins_[number + 1] - begins_[number];
    tokens_.push_back(tokens_.back() + bytes + Document::extra_tokens(fim_.chosen(number)));
  }
}

Document TableIndex::get(std::uint64_t number) const {
  MORAY_REQUIRE(number < documents());
  return {number,          begins_[number],     begins_[number + 1] - begins_[number],
          tokens_[number], fim_.chosen(number), 0};
}

Document TableIndex::find(std::uint64_t token) {
  MORAY_REQUIRE(token < tokens());
  const auto next = std::upper_bound(tokens_.begin(), tokens_.end(), token);
  return get(static_cast<std::uint64_t>(next - tokens_.begin()) - 1);
}

std::unique_ptr<DocumentIndex> make_document_index(DocumentMode mode, FileSet& files,
                                                   std::uint64_t begin, std::uint64_t end,
                                                   const FillInTheMiddle& fim) {
  if (mode == DocumentMode::blank_lines) {
    return std::make_unique<BlankLineIndex>(files, begin, end, fim);
  }
  return std::make_unique<TableIndex>(files, begin, end, mode == DocumentMode::file, fim);
}

}  // namespace moray
