#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace moray {

/// The calls by which one rank writes its blocks into the tensor file of a checkpoint, or the digests
/// of them into that of digests, which is there. None is collective. Throws Error(io), NoSpace where
/// the disk is full.
class BlockOutput {
 public:
  virtual ~BlockOutput() = default;
  /// All bytes at `offset`.
  virtual void write(const void* data, std::size_t size, std::int64_t offset) = 0;
  /// What was written is on the disk when this returns.
  virtual void sync() = 0;
};

using OpenOutput = std::function<std::unique_ptr<BlockOutput>(const std::string& path)>;

/// pwrite(2) and fsync(2). Any thread may use it.
std::unique_ptr<BlockOutput> posix_output(const std::string& path);

/// MPI_File_write_at and MPI_File_sync on a handle of this rank alone, so that these collective calls
/// wait for nobody: for file systems that keep ranks consistent only through MPI-IO. MPI must run,
/// and only the thread that may call it can use this.
std::unique_ptr<BlockOutput> mpi_output(const std::string& path);

}  // namespace moray
