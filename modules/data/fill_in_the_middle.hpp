#pragma once

#include <cstdint>

namespace moray {

/// Which documents are turned into `begin prefix hole suffix end middle` (prefix-suffix-middle, as
/// DeepSeek-V3 trains: rate 0.1, arXiv 2412.19437, section 4.1), and where they are cut. Depends on
/// the key (seed and source) and the document's number alone, so a source's token stream is the same
/// in every epoch and on every layout. Bits: docs/numerics/data.md, section 2.
class FillInTheMiddle {
 public:
  /// 0 <= rate <= 1.
  FillInTheMiddle(double rate, std::uint64_t key);

  bool chosen(std::uint64_t document) const;
  /// The middle of a document of n bytes is [first, second), 0 <= first <= second <= n, before the
  /// cuts are moved to the begin of a character.
  struct Cuts {
    std::uint64_t first, second;
  };
  Cuts cuts(std::uint64_t document, std::uint64_t bytes) const;

 private:
  std::uint64_t threshold_, key_;
};

}  // namespace moray
