#include "io/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/no_space.hpp"

namespace moray {
namespace {

// A call never moves more: Linux cuts at 2 GiB less a page, and smaller calls let signals in.
constexpr std::size_t kLargestCall = std::size_t{1} << 30;

[[noreturn]] void fail_call(const std::string& path, const char* call) {
  const int cause = errno;
  const char* hint = cause == ENOSPC || cause == EDQUOT
                         ? "; free some space or write elsewhere"
                         : (cause == EACCES || cause == EROFS ? "; check the permissions" : "");
  const std::string message =
      fmt::format("{}: {} failed: {}{}", path, call, std::strerror(cause), hint);
  if (cause == ENOSPC || cause == EDQUOT) throw NoSpace(message);
  throw Error(ExitCode::io, message);
}

}  // namespace

FileCalls& file_calls() {
  static FileCalls calls{::pwrite, ::fsync};
  return calls;
}

File::File(const std::string& path, int flags, unsigned mode) : path_(path) {
  // Folders may be reached through links (a user's `runs -> /scratch/...`), files may not.
  const int extra = O_CLOEXEC | ((flags & O_DIRECTORY) != 0 ? 0 : O_NOFOLLOW);
  do {
    descriptor_ = ::open(path.c_str(), flags | extra, mode);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_call(path, "open");
}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::write(const void* data, std::size_t size, std::int64_t offset) const {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done =
        file_calls().pwrite(descriptor_, bytes, std::min(size, kLargestCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = EIO;
    if (done <= 0) fail_call(path_, "pwrite");
    bytes += done;
    size -= static_cast<std::size_t>(done);
    offset += done;
  }
}

void File::read(void* data, std::size_t size, std::int64_t offset) const {
  char* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t done = ::pread(descriptor_, bytes, std::min(size, kLargestCall), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_call(path_, "pread");
    if (done == 0) fail(ExitCode::io, "{}: ends at byte {}, {} more expected", path_, offset, size);
    bytes += done;
    size -= static_cast<std::size_t>(done);
    offset += done;
  }
}

std::int64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail_call(path_, "fstat");
  if (!S_ISREG(status.st_mode)) fail(ExitCode::io, "{}: is not a regular file", path_);
  return status.st_size;
}

void File::sync() const {
  int result = 0;
  do {
    result = file_calls().fsync(descriptor_);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_call(path_, "fsync");
}

std::string read_text(const std::string& path, std::int64_t limit) {
  const File file(path, O_RDONLY);
  const std::int64_t size = file.size();
  if (size > limit)
    fail(ExitCode::io, "{}: has {} bytes, more than the {} expected at most", path, size, limit);
  std::string text(static_cast<std::size_t>(size), '\0');
  file.read(text.data(), text.size(), 0);
  return text;
}

void replace_text(const std::string& path, std::string_view text) {
  const std::string beside = fmt::format("{}.tmp-{}", path, ::getpid());
  try {
    const File file(beside, O_WRONLY | O_CREAT | O_TRUNC);
    file.write(text.data(), text.size(), 0);
    file.sync();
    rename_path(beside, path);
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  sync_folder(parent_of(path));
}

bool path_exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    fail_call(fmt::format("{} -> {}", from, to), "rename");
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0) fail_call(path, "mkdir");
}

void make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    errno = error.value();
    fail_call(path, "mkdir");
  }
}

void sync_folder(const std::string& path) {
  const File folder(path, O_RDONLY | O_DIRECTORY);
  folder.sync();
}

std::vector<std::string> list_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    errno = error.value();
    fail_call(path, "reading the folder");
  }
  std::sort(names.begin(), names.end());
  return names;
}

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) {
    errno = error.value();
    fail_call(path, "remove");
  }
}

std::int64_t free_bytes(const std::string& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) fail_call(path, "statvfs");
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

void tell_full_disk(const std::string& folder, const std::function<void()>& work) {
  constexpr std::int64_t kFull = std::int64_t{1} << 20;
  try {
    work();
  } catch (const NoSpace&) {
    throw;
  } catch (const Error& error) {
    if (free_bytes(folder) < kFull)
      throw NoSpace(fmt::format("{}; the disk is full: free some space", error.what()));
    throw;
  }
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace moray
