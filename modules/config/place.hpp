#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// Where a value of a deck comes from.
struct Place {
  // A message about several values names the place of the last of these.
  enum class Origin { by_default, launcher, file, command_line };
  Origin origin = Origin::by_default;
  int line = 0;  ///< from 1; only in a file
  int column = 0;

  static Place in_file(int line, int column) { return {Origin::file, line, column}; }
  static Place at_launch() { return {Origin::launcher, 0, 0}; }
  static Place on_command_line() { return {Origin::command_line, 0, 0}; }
};

/// One thing that is wrong with a deck.
struct Problem {
  Place place;
  std::string message;
};

/// "input/tiny.yaml:14:3", "command line", "ranks launched" or, for what is missing as a whole, the first place of
/// the file.
std::string to_string(const Place& place, const std::string& file);

/// A text as a message repeats it: cut when it is long.
std::string shown(std::string_view text);

/// Everything that is wrong with a deck, collected so that one run reports all of it.
class Problems {
 public:
  void add(Place place, std::string message);
  bool empty() const { return list_.empty(); }
  /// So many that this is no deck at all: no use in looking for more.
  bool full() const { return list_.size() >= kMost; }
  /// In the order of the file, then the command line.
  std::vector<Problem> sorted() const;
  /// One line a problem, then "2 errors. Nothing was started.".
  std::string report(const std::string& file) const;

 private:
  static constexpr std::size_t kMost = 1000;
  std::vector<Problem> list_;
};

}  // namespace moray
