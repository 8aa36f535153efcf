#pragma once

#include <exception>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/collective.hpp"
#include "io/block_output.hpp"
#include "io/checkpoint_format.hpp"
#include "io/files.hpp"

namespace moray {

/// Elements [offset, offset + count) of a dataset, in host memory, in the dataset's dtype. Begins
/// and ends at the borders of digested blocks (BlockGrid), or at the end of the dataset.
struct Slab {
  std::size_t dataset = 0;  ///< index in CheckpointContent::datasets
  std::int64_t offset = 0;
  std::int64_t count = 0;
  const void* data = nullptr;
};

/// Writes one checkpoint by the commit protocol of docs/checkpoint-format.md. Whatever fails, on
/// whichever rank: every rank throws the same Error(io), NoSpace where the disk is full, the temporary
/// folder is removed, and the checkpoints that were there are untouched.
///
/// `begin` and `commit` are called by all ranks together. `write` and `finish` need no HDF5 and call
/// no collective, and no MPI either unless the output does, so a background thread may call them (one
/// at a time, joined before `commit`); they keep their failure for `commit`.
class CheckpointWriter {
 public:
  /// `folder` holds the checkpoints of a run and must be there; `run` tells this process's
  /// temporary folders from those of others (rank 0's value counts).
  CheckpointWriter(Collective& ranks, std::string folder, std::string run,
                   OpenOutput open = posix_output);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Checks free space, makes the temporary folder and lays the file out. A checkpoint of this
  /// step that is already there is an error.
  void begin(const CheckpointContent& content);
  /// Digests and writes slabs of this rank. Over all ranks, each block is written exactly once.
  void write(std::span<const Slab> slabs);
  /// Writes the digests of this rank's blocks, and makes all that it wrote durable. `commit` does it
  /// where nobody has.
  void finish();
  /// Makes it durable and gives it its name. Returns the path of the checkpoint.
  std::string commit();

 private:
  struct Record {
    std::int64_t block;  // counted over all datasets
    Digest digest;
  };

  void lay_out_on_root();
  void write_slab(const Slab& slab);
  void write_digests();
  /// The first of the datasets whose block digests `rank` digests. Ranks have consecutive datasets,
  /// with about the same number of blocks; the datasets of the rank after the last begin at the end.
  std::size_t first_dataset(int rank) const;
  void exchange_digests();
  std::string digest_datasets(const std::vector<std::string>& records) const;
  void finish_on_root();
  void abandon() noexcept;

  Collective& ranks_;
  std::string folder_;
  std::string run_;
  CheckpointContent content_;
  std::vector<BlockGrid> grids_;
  std::vector<std::int64_t> first_block_;  // of each dataset; one more: all blocks
  std::vector<std::int64_t> offsets_;      // of each dataset in the file
  std::vector<Digest> digests_;            // of each dataset (rank 0)
  std::vector<Record> records_;            // blocks that this rank wrote; sorted by `finish`
  std::string temporary_;
  std::exception_ptr failure_;  // of this rank, until the next agreement
  OpenOutput open_;
  std::unique_ptr<BlockOutput> tensors_, blocks_;
  bool finished_ = false;
};

/// begin, write, commit.
std::string save_checkpoint(Collective& ranks, const std::string& folder, const std::string& run,
                            const CheckpointContent& content, std::span<const Slab> slabs,
                            OpenOutput open = posix_output);

}  // namespace moray
