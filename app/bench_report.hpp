#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// Seconds of repeated runs of one contestant.
struct Timing {
  double median = 0;
  double spread = 0;  ///< half the distance of the quartiles, as part of the median
  int repetitions = 0;
};

/// One who runs the same work as the others.
struct Contestant {
  std::string name;
  std::function<void()> run;
};

/// Times contestants in turn, over and over, so that what disturbs the machine disturbs all of them,
/// for about `seconds` each and at least five times. The time is that of the processor, all threads
/// of this process added: a busy machine lengthens it little, a hidden helper thread shows.
std::vector<Timing> time_in_turn(const std::vector<Contestant>& contestants, double seconds);

/// What a benchmark prints: rows of named cells, as an aligned table, as CSV or as JSON. Numbers keep
/// their value in CSV and JSON.
class Report {
 public:
  struct Cell {
    std::string text;  ///< for the table
    double number = 0;
    bool is_number = false;
    bool is_whole = false;
  };
  static Cell text(std::string value) { return {std::move(value), 0, false, false}; }
  static Cell number(double value, int digits);
  static Cell none() { return {"-", 0, false, false}; }

  Report(std::string title, std::vector<std::string> columns)
      : title_(std::move(title)), columns_(std::move(columns)) {}
  /// Facts about the run: processor, libraries, threads.
  void fact(std::string name, std::string value) {
    facts_.emplace_back(std::move(name), std::move(value));
  }
  void row(std::vector<Cell> cells);

  std::string table() const;
  std::string csv() const;
  std::string json() const;

 private:
  std::string title_;
  std::vector<std::string> columns_;
  std::vector<std::pair<std::string, std::string>> facts_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace moray
