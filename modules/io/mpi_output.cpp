#include <mpi.h>

#include <algorithm>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/no_space.hpp"
#include "io/block_output.hpp"
#include "io/files.hpp"

namespace moray {
namespace {

// Counts of MPI are ints; the same bound as for pwrite.
constexpr std::size_t kLargestCall = std::size_t{1} << 30;

void check(int code, const char* call, const std::string& path) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  int kind = MPI_ERR_OTHER;
  MPI_Error_string(code, text, &length);
  MPI_Error_class(code, &kind);
  const std::string message = fmt::format("{}: {} failed: {}", path, call,
                                          std::string(text, static_cast<std::size_t>(length)));
  if (kind == MPI_ERR_NO_SPACE || kind == MPI_ERR_QUOTA)
    throw NoSpace(message + "; free some space or write elsewhere");
  throw Error(ExitCode::io, message);
}

class MpiOutput final : public BlockOutput {
 public:
  explicit MpiOutput(const std::string& path) : path_(path), folder_(parent_of(path)) {
    // The default error handler of files returns errors.
    check(MPI_File_open(MPI_COMM_SELF, path.c_str(), MPI_MODE_WRONLY, MPI_INFO_NULL, &file_),
          "MPI_File_open", path_);
  }
  MpiOutput(const MpiOutput&) = delete;
  MpiOutput& operator=(const MpiOutput&) = delete;
  /// After sync(), which says whether the bytes are there.
  ~MpiOutput() override {
    if (MPI_File_close(&file_) != MPI_SUCCESS)
      Log::global().warn("{}: MPI_File_close failed", path_);
  }

  void write(const void* data, std::size_t size, std::int64_t offset) override {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const std::size_t done = write_some(bytes, std::min(size, kLargestCall), offset);
      bytes += done;
      size -= done;
      offset += static_cast<std::int64_t>(done);
    }
  }

  void sync() override {
    tell_full_disk(folder_, [&] { check(MPI_File_sync(file_), "MPI_File_sync", path_); });
  }

 private:
  /// Returns how many bytes were written. MPI may call a full disk any other error.
  std::size_t write_some(const char* bytes, std::size_t size, std::int64_t offset) {
    int done = 0;
    tell_full_disk(folder_, [&] {
      MPI_Status status;
      check(MPI_File_write_at(file_, offset, bytes, static_cast<int>(size), MPI_BYTE, &status),
            "MPI_File_write_at", path_);
      check(MPI_Get_count(&status, MPI_BYTE, &done), "MPI_Get_count", path_);
      if (done <= 0)
        fail(ExitCode::io, "{}: MPI_File_write_at wrote nothing of {} bytes", path_, size);
    });
    return static_cast<std::size_t>(done);
  }

  std::string path_;
  std::string folder_;
  MPI_File file_ = MPI_FILE_NULL;
};

}  // namespace

std::unique_ptr<BlockOutput> mpi_output(const std::string& path) {
  return std::make_unique<MpiOutput>(path);
}

}  // namespace moray
