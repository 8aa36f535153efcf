#include "core/log.hpp"

#include <cerrno>
#include <cstring>

#include "core/error.hpp"

namespace moray {
namespace {

/// A full disk under the log ends no run: its lines are lost there.
void put(std::string_view line, std::FILE* file) {
  std::fwrite(line.data(), 1, line.size(), file);
  std::fputc('\n', file);
  std::fflush(file);
  std::clearerr(file);
}

}  // namespace

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
  put(line, stdout);
  if (file_ != nullptr) put(line, file_);
}

void Log::warning(std::string text) {
  for (Warning& seen : warnings_) {
    if (seen.text == text) {
      ++seen.count;
      return;
    }
  }
  const std::string line =
      fmt::format("warning{}: {}", rank_ == 0 ? "" : fmt::format(" (rank {})", rank_), text);
  put(line, stderr);
  if (file_ != nullptr) put(line, file_);
  warnings_.push_back({std::move(text), 1});
}

}  // namespace moray
