#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "data/files.hpp"
#include "data/fill_in_the_middle.hpp"

namespace moray {

/// What a document is (deck key `data.documents`).
enum class DocumentMode {
  file,         ///< each file
  blank_lines,  ///< the text between empty lines of a file
  whole,        ///< all files of a source together, never split
};
/// Error(usage) for an unknown name.
DocumentMode document_mode(std::string_view name);

/// Where a document lies, in its source's bytes and in its source's token stream.
struct Document {
  std::uint64_t number = 0;  ///< from 0
  std::uint64_t begin = 0;   ///< first byte
  std::uint64_t bytes = 0;
  std::uint64_t first_token = 0;
  bool fim = false;
  std::uint64_t segment = 0;  ///< of the index, for DocumentIndex::next

  /// With the document's eos, and the three tokens of fill-in-the-middle.
  std::uint64_t tokens() const { return bytes + extra_tokens(fim); }
  static std::uint64_t extra_tokens(bool fim) { return fim ? 4 : 1; }
};

/// The documents in the bytes [begin, end) of a FileSet. A document that is cut by the range is a
/// document of its own.
class DocumentIndex {
 public:
  virtual ~DocumentIndex() = default;
  virtual std::uint64_t documents() const = 0;
  /// Length of the token stream.
  virtual std::uint64_t tokens() const = 0;
  /// The document that holds a token of the stream; token < tokens().
  virtual Document find(std::uint64_t token) = 0;
  /// The one after it; document.first_token + document.tokens() < tokens().
  virtual Document next(const Document& document) = 0;
};

/// Documents of mode `file` and `whole`: two words a document, nothing is read.
class TableIndex final : public DocumentIndex {
 public:
  TableIndex(const FileSet& files, std::uint64_t begin, std::uint64_t end, bool per_file,
             const FillInTheMiddle& fim);
  std::uint64_t documents() const override { return begins_.size() - 1; }
  std::uint64_t tokens() const override { return tokens_.back(); }
  Document find(std::uint64_t token) override;
  Document next(const Document& document) override { return get(document.number + 1); }

 private:
  Document get(std::uint64_t number) const;

  FillInTheMiddle fim_;
  std::vector<std::uint64_t> begins_;  // first bytes, (documents + 1)
  std::vector<std::uint64_t> tokens_;  // first tokens, (documents + 1)
};

/// Documents of mode `blank_lines`. One pass over the text keeps marks: the first document at least
/// `spacing` bytes after the mark before it. When there are more than `max_marks` the spacing is
/// doubled and marks are dropped, so memory is bounded for any corpus. Looking up a document reads at
/// most two spacings: the last document between two marks, which alone may be longer, ends where the
/// next mark says.
class BlankLineIndex final : public DocumentIndex {
 public:
  static constexpr std::uint64_t kSpacing = 16 << 10;
  static constexpr std::size_t kMaxMarks = 1 << 17;  // 3 MiB: 16 KiB apart up to 2 GiB of text

  BlankLineIndex(FileSet& files, std::uint64_t begin, std::uint64_t end, const FillInTheMiddle& fim,
                 std::uint64_t spacing = kSpacing, std::size_t max_marks = kMaxMarks);
  std::uint64_t documents() const override { return documents_; }
  std::uint64_t tokens() const override { return tokens_; }
  Document find(std::uint64_t token) override;
  Document next(const Document& document) override;
  std::size_t marks() const { return marks_.size(); }

 private:
  struct Mark {
    std::uint64_t byte, token, document;
  };
  void thin_out();
  Document at_mark(std::uint64_t segment);
  Document measure(Document document);

  FileSet* files_;
  FillInTheMiddle fim_;
  BlockReader reader_;
  std::uint64_t end_;
  std::uint64_t spacing_;
  std::size_t max_marks_;
  std::vector<Mark> marks_;
  std::uint64_t documents_ = 0, tokens_ = 0;
};

std::unique_ptr<DocumentIndex> make_document_index(DocumentMode mode, FileSet& files,
                                                   std::uint64_t begin, std::uint64_t end,
                                                   const FillInTheMiddle& fim);

}  // namespace moray
