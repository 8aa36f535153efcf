#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// POSIX files with errors that name the call, the path and the cause. All functions throw
/// Error(io), and NoSpace where the disk or the user's quota is full.

/// The calls by which this program writes: tests replace them to let the k-th write fail with
/// ENOSPC or EIO. Never changed while a file is written.
struct FileCalls {
  ssize_t (*pwrite)(int, const void*, std::size_t, off_t);
  int (*fsync)(int);
};
FileCalls& file_calls();

/// An open file descriptor.
class File {
 public:
  File() = default;
  /// open(2) with O_CLOEXEC and, but for folders, O_NOFOLLOW added.
  File(const std::string& path, int flags, unsigned mode = 0644);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  explicit operator bool() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

  /// All bytes at `offset`: in calls of less than 2 GiB, continued after short writes and signals.
  void write(const void* data, std::size_t size, std::int64_t offset) const;
  /// All bytes from `offset`; the end of the file before them is an error.
  void read(void* data, std::size_t size, std::int64_t offset) const;
  std::int64_t size() const;
  void sync() const;

 private:
  int descriptor_ = -1;
  std::string path_;
};

/// The whole of a file of at most `limit` bytes; a larger one is an error.
std::string read_text(const std::string& path, std::int64_t limit);
/// Writes beside `path`, fsyncs, renames over it and fsyncs the folder: a reader sees the old text
/// or the new one, also after a crash.
void replace_text(const std::string& path, std::string_view text);

bool path_exists(const std::string& path);
/// A folder or a link to one.
bool is_folder(const std::string& path);
void rename_path(const std::string& from, const std::string& to);
/// Makes one folder; its parents must be there. An existing one is an error.
void make_folder(const std::string& path);
void make_folders(const std::string& path);
void sync_folder(const std::string& path);
/// Names in a folder, sorted; empty if there is no such folder.
std::vector<std::string> list_folder(const std::string& path);
/// Removes a file or a folder with all it holds, following no link.
void remove_tree(const std::string& path);
/// Bytes that this user may still write to the file system of `path`.
std::int64_t free_bytes(const std::string& path);
/// Runs `work`, which writes through HDF5 into `folder`. HDF5 does not say why a write failed, or says
/// nothing at all: an error while less than 1 MiB is free is thrown as NoSpace.
void tell_full_disk(const std::string& folder, const std::function<void()>& work);
/// The folder that `path` lies in; "." for a bare name.
std::string parent_of(const std::string& path);

}  // namespace moray
