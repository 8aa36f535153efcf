#include "data/stream.hpp"

#include <algorithm>
#include <array>

#include "core/error.hpp"

namespace moray {

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 15;

/// A piece of a document's tokens: bytes, or one special token.
struct Piece {
  std::uint64_t begin = 0, length = 0;
  std::int32_t token = kNoToken;  // instead of bytes
};
Piece bytes(std::uint64_t begin, std::uint64_t end) {
  return {begin, end - begin, kNoToken};
}
Piece special(std::int32_t token) {
  return {0, 1, token};
}

}  // namespace

TokenStream::TokenStream(std::shared_ptr<FileSet> files, std::uint64_t begin, std::uint64_t end,
                         DocumentMode mode, const FillInTheMiddle& fim,
                         const SpecialTokens& special_tokens)
    : files_(std::move(files)),
      fim_(fim),
      special_(special_tokens),
      index_(make_document_index(mode, *files_, begin, end, fim)),
      reader_(*files_, kBlock) {}

std::uint64_t TokenStream::windows(std::int64_t length) const {
  MORAY_REQUIRE(length > 0);
  return tokens() == 0 ? 0 : (tokens() - 1) / static_cast<std::uint64_t>(length);
}

void TokenStream::read(std::uint64_t first, std::span<std::int32_t> out) {
  MORAY_REQUIRE(first + out.size() <= tokens());
  if (out.empty()) return;
  Document document = index_->find(first);
  std::uint64_t skip = first - document.first_token;
  for (;;) {
    out = out.subspan(copy(document, skip, out));
    if (out.empty()) return;
    document = index_->next(document);
    skip = 0;
  }
}

/// Tokens of a document from its `skip`-th on, as many as there are and fit; returns how many.
std::size_t TokenStream::copy(const Document& document, std::uint64_t skip,
                              std::span<std::int32_t> out) {
  std::array<Piece, 7> pieces;
  const std::uint64_t begin = document.begin, end = begin + document.bytes;
  if (document.fim) {
    const FillInTheMiddle::Cuts cuts = fim_.cuts(document.number, document.bytes);
    const std::uint64_t a = character_boundary(reader_, begin + cuts.first, end);
    const std::uint64_t b = character_boundary(reader_, begin + cuts.second, end);
    pieces = {
        special(special_.fim_begin), bytes(begin, a), special(special_.fim_hole), bytes(b, end),
        special(special_.fim_end),   bytes(a, b),     special(special_.eos)};
  } else {
    pieces = {bytes(begin, end), special(special_.eos)};
  }
  std::size_t done = 0;
  for (const Piece& piece : pieces) {
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    std::uint64_t offset = piece.begin + skip;
    const std::uint64_t stop =
        std::min<std::uint64_t>(piece.begin + piece.length, offset + (out.size() - done));
    skip = 0;
    if (piece.token != kNoToken) {
      if (done < out.size()) out[done++] = piece.token;
      continue;
    }
    while (offset < stop) {
      const std::string_view text = reader_.view(offset, stop);
      for (const char c : text) out[done++] = static_cast<unsigned char>(c);
      offset += text.size();
    }
  }
  return done;
}

}  // namespace moray
