#include "core/log.hpp"

#include <cerrno>
#include <cstring>

#include "core/error.hpp"

namespace moray {

Log& Log::global() {
  static Log log;
  return log;
}

void Log::open(const std::string& path) {
  close();
  if (rank_ != 0) return;
  file_ = std::fopen(path.c_str(), "a");
  if (file_ == nullptr)
    fail(ExitCode::io, "{}: cannot open the log: {}", path, std::strerror(errno));
}

void Log::close() {
  if (file_ != nullptr) std::fclose(file_);
  file_ = nullptr;
}

void Log::write(std::string_view line) {
  fmt::print(stdout, "{}\n", line);
  std::fflush(stdout);
  if (file_ != nullptr) {
    fmt::print(file_, "{}\n", line);
    std::fflush(file_);
  }
}

void Log::warning(std::string text) {
  for (Warning& seen : warnings_) {
    if (seen.text == text) {
      ++seen.count;
      return;
    }
  }
  fmt::print(stderr, "warning{}: {}\n", rank_ == 0 ? "" : fmt::format(" (rank {})", rank_), text);
  warnings_.push_back({std::move(text), 1});
}

}  // namespace moray
