#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "core/error.hpp"
#include "data/files.hpp"

namespace moray {

namespace fs = std::filesystem;

namespace {

/// Regular files below a folder, sorted by bytes.
std::vector<std::string> files_below(const fs::path& folder, const std::string& place) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    const fs::file_type type = entry->status(error).type();
    if (entry->path().filename().string().starts_with('.')) {
      if (type == fs::file_type::directory) entry.disable_recursion_pending();
    } else if (type == fs::file_type::regular) {
      files.push_back(entry->path().string());
    } else if (type == fs::file_type::not_found) {
      fail(ExitCode::io, "{}: {} is a link to nothing", place, entry->path().string());
    }
  }
  if (error) fail(ExitCode::io, "{}: folder {}: {}", place, folder.string(), error.message());
  if (files.empty()) fail(ExitCode::io, "{}: folder {} holds no file", place, folder.string());
  std::sort(files.begin(), files.end());
  return files;
}

/// Matches of a pattern, sorted by bytes (glob itself sorts by the locale).
std::vector<std::string> matches(const std::string& pattern, const std::string& place) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), GLOB_NOSORT | GLOB_ERR, nullptr, &found);
  std::vector<std::string> files(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (result == GLOB_NOMATCH) fail(ExitCode::io, "{}: nothing matches {}", place, pattern);
  if (result != 0) fail(ExitCode::io, "{}: a folder of {} cannot be read", place, pattern);
  std::sort(files.begin(), files.end());
  return files;
}

bool is_pattern(const std::string& path) {
  return path.find_first_of("*?[") != std::string::npos;
}

}  // namespace

std::vector<std::string> expand_paths(const std::vector<std::string>& paths,
                                      const std::string& folder, const std::string& place) {
  if (paths.empty()) fail(ExitCode::io, "{}: names no file", place);
  std::vector<std::string> result;
  std::set<std::string> seen;
  const auto add = [&](const std::string& file) {
    if (seen.insert(fs::path(file).lexically_normal().string()).second) result.push_back(file);
  };
  const auto add_path = [&](const std::string& path) {
    if (fs::is_directory(path)) {
      for (const std::string& file : files_below(path, place)) add(file);
    } else {
      add(path);
    }
  };
  for (const std::string& path : paths) {
    const std::string full = (fs::path(folder) / path).lexically_normal().string();
    std::error_code error;
    if (fs::exists(full, error)) {
      add_path(full);
    } else if (is_pattern(full)) {
      for (const std::string& match : matches(full, place)) add_path(match);
    } else {
      fail(ExitCode::io, "{}: {} does not exist", place, full);
    }
  }
  return result;
}

}  // namespace moray
