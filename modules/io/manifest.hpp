#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint_format.hpp"

namespace moray {

/// A dataset as the manifest describes it.
struct StoredDataset {
  DatasetSpec spec;         ///< without its extra attributes
  std::int64_t offset = 0;  ///< of the first byte of the values in checkpoint.h5
  Digest digest;            ///< of the digests of its blocks, 16 bytes each, in order

  std::int64_t bytes() const { return BlockGrid(spec).elements() * bytes_of(spec.dtype); }
};

/// manifest.json: a checkpoint is what has a valid one.
struct Manifest {
  std::int64_t step = 0;
  std::string software;  ///< version and commit of the program that wrote it
  std::string date;      ///< UTC, ISO 8601
  std::vector<Attribute> attributes;
  std::vector<std::string> texts;  ///< names of the text datasets
  std::vector<StoredDataset> datasets;
  std::int64_t tensor_file_size = 0;
  Digest outside;  ///< of all bytes of checkpoint.h5 that belong to no dataset of `datasets`
  std::int64_t block_file_size = 0;
};

/// The text of the file; its last member is the digest of all bytes before that member.
std::string to_text(const Manifest& manifest);
/// Checks the digest before anything is parsed, then version, types and ranges. Throws
/// DamagedCheckpoint, or Error(io) for a version that this program does not read.
Manifest parse_manifest(std::string_view text, const std::string& place);
/// The file's own digest, as hexadecimal text: names a checkpoint's exact content.
std::string manifest_digest(std::string_view text);

}  // namespace moray
