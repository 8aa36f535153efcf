// A line is blank when it is empty, whether it ends in "\n" or "\r\n". A document is a longest run of
// lines that are not blank, with their line ends; it never goes on in the next file.
#include <algorithm>
#include <cstring>
#include <optional>

#include "core/error.hpp"
#include "data/documents.hpp"

namespace moray {

namespace {

constexpr std::size_t kScanBlock = std::size_t{1} << 18;
constexpr std::size_t kLookupBlock = std::size_t{1} << 15;

/// Steps over blank lines from the begin of a line on.
std::uint64_t skip_blank(BlockReader& reader, std::uint64_t offset, std::uint64_t end) {
  while (offset < end) {
    const unsigned char byte = reader.at(offset);
    if (byte == '\n') {
      ++offset;
    } else if (byte == '\r' && offset + 1 < end && reader.at(offset + 1) == '\n') {
      offset += 2;
    } else {
      break;
    }
  }
  return offset;
}

/// The begin of the first document at or after `offset`, or `end`.
std::uint64_t document_begin(const FileSet& files, BlockReader& reader, std::uint64_t offset,
                             std::uint64_t end) {
  while (offset < end) {
    const std::uint64_t file_end = std::min(files.begin(files.file_at(offset) + 1), end);
    offset = skip_blank(reader, offset, file_end);
    if (offset < file_end) return offset;
  }
  return end;
}

/// The end of the document that begins at `offset`; none when it lies beyond `limit`.
std::optional<std::uint64_t> document_end(BlockReader& reader, std::uint64_t offset,
                                          std::uint64_t file_end, std::uint64_t limit) {
  while (offset < file_end) {
    if (offset > limit) return std::nullopt;
    const std::string_view text = reader.view(offset, file_end);
    const void* found = std::memchr(text.data(), '\n', text.size());
    if (found == nullptr) {
      offset += text.size();
      continue;
    }
    offset += static_cast<std::uint64_t>(static_cast<const char*>(found) - text.data()) + 1;
    if (skip_blank(reader, offset, std::min(offset + 2, file_end)) != offset) return offset;
  }
  return file_end;
}

}  // namespace

BlankLineIndex::BlankLineIndex(FileSet& files, std::uint64_t begin, std::uint64_t end,
                               const FillInTheMiddle& fim, std::uint64_t spacing,
                               std::size_t max_marks)
    : files_(&files),
      fim_(fim),
      reader_(files, kLookupBlock),
      end_(end),
      spacing_(spacing),
      max_marks_(max_marks) {
  BlockReader reader(files, kScanBlock);
  std::uint64_t offset = document_begin(files, reader, begin, end);
  while (offset < end) {
    if (marks_.empty() || offset >= marks_.back().byte + spacing_) {
      marks_.push_back({offset, tokens_, documents_});
      if (marks_.size() > max_marks_) thin_out();
    }
    const std::uint64_t file_end = std::min(files.begin(files.file_at(offset) + 1), end);
    const std::uint64_t stop = *document_end(reader, offset, file_end, end);
    tokens_ += stop - offset + Document::extra_tokens(fim_.chosen(documents_));
    ++documents_;
    offset = document_begin(files, reader, stop, end);
  }
}

// Documents begin less than two spacings after their mark, also after many doublings: with B(s) the
// bound at spacing s, a dropped mark lies within 2 s of the kept one, so B(2 s) <= 2 s + B(s).
void BlankLineIndex::thin_out() {
  while (marks_.size() > max_marks_ / 2 + 1) {
    spacing_ *= 2;
    std::size_t kept = 1;
    for (std::size_t m = 1; m < marks_.size(); ++m) {
      if (marks_[m].byte >= marks_[kept - 1].byte + spacing_) marks_[kept++] = marks_[m];
    }
    marks_.resize(kept);
  }
}

Document BlankLineIndex::find(std::uint64_t token) {
  MORAY_REQUIRE(token < tokens_);
  const auto after =
      std::upper_bound(marks_.begin(), marks_.end(), token,
                       [](std::uint64_t value, const Mark& mark) { return value < mark.token; });
  Document document = at_mark(static_cast<std::uint64_t>(after - marks_.begin()) - 1);
  while (token >= document.first_token + document.tokens()) document = next(document);
  return document;
}

Document BlankLineIndex::next(const Document& document) {
  const std::uint64_t segment = document.segment + 1;
  const std::uint64_t token = document.first_token + document.tokens();
  MORAY_REQUIRE(token < tokens_);
  if (segment < marks_.size() && token == marks_[segment].token) return at_mark(segment);
  Document following;
  following.number = document.number + 1;
  following.begin = document_begin(*files_, reader_, document.begin + document.bytes, end_);
  following.first_token = token;
  following.segment = document.segment;
  return measure(following);
}

Document BlankLineIndex::at_mark(std::uint64_t segment) {
  Document document;
  document.number = marks_[segment].document;
  document.begin = marks_[segment].byte;
  document.first_token = marks_[segment].token;
  document.segment = segment;
  return measure(document);
}

/// Fills in `bytes` and `fim`.
Document BlankLineIndex::measure(Document document) {
  if (document.begin >= end_) {
    fail(ExitCode::io, "{}: has changed since the run began", files_->path(files_->count() - 1));
  }
  document.fim = fim_.chosen(document.number);
  const std::size_t file = files_->file_at(document.begin);
  const std::uint64_t file_end = std::min(files_->begin(file + 1), end_);
  const std::uint64_t limit = marks_[document.segment].byte + 2 * spacing_;
  const auto stop = document_end(reader_, document.begin, file_end, limit);
  const std::uint64_t segment_end =
      document.segment + 1 < marks_.size() ? marks_[document.segment + 1].token : tokens_;
  const std::uint64_t extra = Document::extra_tokens(document.fim);
  const std::uint64_t longest = segment_end - document.first_token;
  if (!stop) {
    document.bytes = longest - extra;
  } else if (*stop - document.begin + extra <= longest) {
    document.bytes = *stop - document.begin;
  } else {
    fail(ExitCode::io, "{}: has changed since the run began", files_->path(file));
  }
  return document;
}

}  // namespace moray
