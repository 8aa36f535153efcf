#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "data/documents.hpp"
#include "data/files.hpp"
#include "data/tokenizer.hpp"

namespace moray {

/// The packed token stream of a range of a source: its documents in order, each ended by eos, end to
/// end; training masks nothing between them (DeepSeek-V3, arXiv 2412.19437, section 4.1). A document
/// of n bytes chosen for fill-in-the-middle is
///   fim_begin [0, a) fim_hole [b, n) fim_end [a, b) eos
/// and so n + 4 tokens long wherever it is cut: positions of the stream are found by arithmetic, and
/// a window is read without the ones before it.
///
/// A byte is a token here. A tokenizer whose tokens are longer writes its corpus as a file of
/// tokens, of which the same stream is a view with wider elements.
class TokenStream {
 public:
  TokenStream(std::shared_ptr<FileSet> files, std::uint64_t begin, std::uint64_t end,
              DocumentMode mode, const FillInTheMiddle& fim, const SpecialTokens& special);

  std::uint64_t documents() const { return index_->documents(); }
  std::uint64_t tokens() const { return index_->tokens(); }
  /// Windows of T + 1 tokens that advance by T: the last token of one is the first of the next, so
  /// each token but the first is predicted once. What is left at the end is not used.
  std::uint64_t windows(std::int64_t length) const;
  /// Tokens first, first + 1, ...
  void read(std::uint64_t first, std::span<std::int32_t> out);

 private:
  std::size_t copy(const Document& document, std::uint64_t skip, std::span<std::int32_t> out);

  std::shared_ptr<FileSet> files_;
  FillInTheMiddle fim_;
  SpecialTokens special_;
  std::unique_ptr<DocumentIndex> index_;
  BlockReader reader_;
};

}  // namespace moray
