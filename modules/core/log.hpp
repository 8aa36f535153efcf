#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moray {

/// The log of one rank: rank 0 writes to standard output and, once a run folder is there, to its
/// log.txt; other ranks are silent unless they warn.
class Log {
 public:
  /// The process-wide log.
  static Log& global();

  void set_rank(int rank) { rank_ = rank; }
  /// Also append to this file from now on (rank 0). Throws Error(io) when it cannot be opened.
  void open(const std::string& path);
  void close();

  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    if (rank_ == 0) write(fmt::format(format, std::forward<Args>(args)...));
  }
  /// Printed at once by any rank and counted; equal texts are printed only the first time.
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) {
    warning(fmt::format(format, std::forward<Args>(args)...));
  }

  struct Warning {
    std::string text;
    long count = 0;
  };
  const std::vector<Warning>& warnings() const { return warnings_; }

  ~Log() { close(); }

 private:
  void write(std::string_view line);
  void warning(std::string text);

  int rank_ = 0;
  std::FILE* file_ = nullptr;
  std::vector<Warning> warnings_;
};

}  // namespace moray
