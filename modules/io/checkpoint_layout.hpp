#pragma once

#include <string>
#include <vector>

#include "io/files.hpp"
#include "io/manifest.hpp"

namespace moray {

/// Makes checkpoint.h5 at `path` with every group, dataset, attribute and text, and closes it; the
/// values of the tensors are left for pwrite. Returns the file offset of each dataset.
std::vector<std::int64_t> lay_out(const std::string& path, const CheckpointContent& content);

/// HDF5's own view of the file must be that of the manifest: the same datasets with these shapes,
/// types and offsets, only hard links, no filters, no variable-length types. Called when the bytes
/// outside the tensors are known to be those written. Throws DamagedCheckpoint.
void check_layout(const std::string& path, const Manifest& manifest);

/// Digest of all bytes of `file` that belong to no dataset, in order. Datasets that overlap or
/// reach beyond the end throw DamagedCheckpoint.
Digest digest_outside(const File& file, const std::vector<StoredDataset>& datasets);

/// Bytes that a save of this content needs on disk, with a margin of a tenth.
std::int64_t expected_bytes(const CheckpointContent& content);

}  // namespace moray
