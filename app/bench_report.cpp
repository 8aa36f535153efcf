#include "bench_report.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

namespace moray {

namespace {

constexpr int kFewest = 5;
constexpr int kMost = 2000;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double run_once(const Contestant& contestant) {
  const double begin = processor_seconds();
  contestant.run();
  return processor_seconds() - begin;
}

Timing summary(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  Timing timing;
  timing.median = seconds[n / 2];
  timing.spread = (seconds[3 * n / 4] - seconds[n / 4]) / 2 / timing.median;
  timing.repetitions = static_cast<int>(n);
  return timing;
}

}  // namespace

std::vector<Timing> time_in_turn(const std::vector<Contestant>& contestants, double seconds) {
  double slowest = 1e-9;
  for (const Contestant& each : contestants) {
    each.run();  // first touches, plans and code that libraries make at their first call
    slowest = std::max(slowest, run_once(each));
  }
  const int repetitions = std::clamp(static_cast<int>(seconds / slowest), kFewest, kMost);
  std::vector<std::vector<double>> times(contestants.size());
  for (int r = 0; r < repetitions; ++r) {
    for (std::size_t i = 0; i < contestants.size(); ++i) {
      times[i].push_back(run_once(contestants[i]));
    }
  }
  std::vector<Timing> timings;
  for (std::vector<double>& each : times) timings.push_back(summary(std::move(each)));
  return timings;
}

Report::Cell Report::number(double value, int digits) {
  return {fmt::format("{:.{}f}", value, digits), value, true, digits == 0};
}

void Report::row(std::vector<Cell> cells) {
  MORAY_REQUIRE(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Report::table() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = columns_[c].size();
    for (const auto& cells : rows_) width = std::max(width, cells[c].text.size());
    widths.push_back(width);
  }
  std::string out = title_ + "\n";
  for (const auto& [name, value] : facts_) out += fmt::format("  {:<12} {}\n", name, value);
  const auto line = [&](std::size_t c, const std::string& cell) {
    out +=
        c == 0 ? fmt::format("{:<{}}", cell, widths[c]) : fmt::format("  {:>{}}", cell, widths[c]);
  };
  for (std::size_t c = 0; c < columns_.size(); ++c) line(c, columns_[c]);
  out += "\n";
  for (const auto& cells : rows_) {
    for (std::size_t c = 0; c < cells.size(); ++c) line(c, cells[c].text);
    out += "\n";
  }
  return out;
}

std::string Report::csv() const {
  std::string out;
  for (const auto& [name, value] : facts_) out += fmt::format("# {}: {}\n", name, value);
  out += fmt::format("{}\n", fmt::join(columns_, ","));
  for (const auto& cells : rows_) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) out += ",";
      out += cells[c].is_number ? fmt::format("{:.6g}", cells[c].number)
                                : (cells[c].text == "-" ? "" : cells[c].text);
    }
    out += "\n";
  }
  return out;
}

std::string Report::json() const {
  nlohmann::ordered_json all = {{"benchmark", title_}};
  for (const auto& [name, value] : facts_) all["facts"][name] = value;
  all["rows"] = nlohmann::ordered_json::array();
  for (const auto& cells : rows_) {
    nlohmann::ordered_json row;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (cells[c].is_whole) {
        row[columns_[c]] = static_cast<std::int64_t>(cells[c].number);
      } else if (cells[c].is_number) {
        row[columns_[c]] = cells[c].number;
      } else if (cells[c].text != "-") {
        row[columns_[c]] = cells[c].text;
      }
    }
    all["rows"].push_back(std::move(row));
  }
  return all.dump(2) + "\n";
}

}  // namespace moray
