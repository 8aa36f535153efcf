#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace moray::golden {

/// What a golden run found, in the order in which it was computed: a name and a value a line, a
/// digest of 16 hexadecimal digits or a number in a form that keeps every bit.
class Record {
 public:
  void add(std::string name, std::string value) {
    lines_.emplace_back(std::move(name), std::move(value));
  }
  /// A hexadecimal floating-point number: exact, and readable by `printf %g`.
  void add_number(std::string name, double value);
  void add_digest(std::string name, std::uint64_t digest);

  /// Empty when `found` has the same lines, in any order: ranks of a pipeline compute different ones. Else a
  /// sentence on the first line, in the order of this record, that differs.
  std::string first_difference(const Record& found) const;
  std::size_t size() const { return lines_.size(); }

  /// Lines "name value" after a comment. Throws Error(io).
  static Record read(const std::string& path);
  void write(const std::string& path, const std::string& deck) const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

/// XXH3-64 of the bits of float32 values as little-endian words, every NaN as 0x7fc00000.
std::uint64_t digest_floats(std::vector<float>& values);
/// XXH3-64 of digests as little-endian words.
std::uint64_t digest_words(const std::vector<std::uint64_t>& words);

}  // namespace moray::golden
