#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/collective.hpp"
#include "io/files.hpp"
#include "io/manifest.hpp"

namespace moray {

/// A checkpoint opened for reading, by any number of ranks, whatever number wrote it.
///
/// Opening checks the manifest's own digest, the sizes of the files and every byte of
/// checkpoint.h5 outside the tensors before HDF5 sees the file, then HDF5's view of it against the
/// manifest. Values are read with pread at the offsets of the manifest, whole blocks at a time, and
/// handed out only if the block's digest is right. A failed check throws DamagedCheckpoint, a
/// version that is too new Error(io). Reads are not thread-safe.
class Checkpoint {
 public:
  /// Opens the folder of one checkpoint. On one process alone.
  explicit Checkpoint(const std::string& path);
  /// Called by all ranks: rank 0 checks the file and hands its manifest to the others.
  Checkpoint(Collective& ranks, const std::string& path);

  const std::string& path() const { return path_; }
  std::int64_t step() const { return manifest_.step; }
  const Manifest& manifest() const { return manifest_; }
  /// Digest of the manifest, and so of everything in the checkpoint.
  const std::string& digest() const { return digest_; }

  bool contains(const std::string& dataset) const { return index_.contains(dataset); }
  /// The description of a dataset; Error(io) naming it if it is not there.
  const StoredDataset& find(const std::string& dataset) const;
  /// Error(io) naming both sides unless the dataset has this dtype and shape.
  void expect(const std::string& dataset, Dtype dtype,
              const std::vector<std::int64_t>& shape) const;
  /// An attribute of the checkpoint; Error(io) if it is not there or has another type.
  std::int64_t integer(const std::string& attribute) const;
  double real(const std::string& attribute) const;
  const std::string& string(const std::string& attribute) const;
  bool has_attribute(const std::string& attribute) const;
  /// A text dataset (resolved deck, build). Uses HDF5: not on several threads at once.
  std::string text(const std::string& name) const;

  /// Elements [offset, offset + count) of a dataset into `out`, in the dataset's dtype and with the
  /// bits of the file: nothing is converted. Each block that is touched is verified.
  void read(const std::string& dataset, std::int64_t offset, std::int64_t count, void* out) const;
  /// Verifies the blocks of one of `size` ranks: consecutive ones, so that it reads the block digests of
  /// few datasets, with about the same number of bytes for each rank.
  void verify_blocks(int rank = 0, int size = 1) const;

 private:
  void open_files();
  void check_file() const;
  const std::vector<Digest>& block_digests(std::size_t dataset) const;
  void read_block(std::size_t dataset, std::int64_t block, void* out) const;
  const AttributeValue& attribute(const std::string& name) const;

  std::string path_;
  std::string digest_;
  Manifest manifest_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::int64_t> first_block_;  // of each dataset in blocks.xxh3; one more: all
  File tensors_;
  File blocks_;
  // Block digests of the dataset read last.
  mutable std::size_t loaded_ = SIZE_MAX;
  mutable std::vector<Digest> loaded_digests_;
};

}  // namespace moray
