#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "io/attribute.hpp"
#include "io/digest.hpp"
#include "io/dtype.hpp"

/// What a checkpoint consists of; docs/checkpoint-format.md is the specification.
namespace moray {

inline constexpr const char* kCheckpointFormat = "moray-checkpoint";
/// MAJOR.MINOR: readers refuse a higher MAJOR; a higher MINOR only adds what may be ignored.
inline constexpr int kCheckpointMajor = 1;
inline constexpr int kCheckpointMinor = 0;
inline constexpr const char* kTensorFile = "checkpoint.h5";
inline constexpr const char* kBlockFile = "blocks.xxh3";
inline constexpr const char* kManifestFile = "manifest.json";
/// Elements of a digested block; that of the optimizer and of ZeRO (docs/numerics.md).
inline constexpr std::int64_t kDigestBlock = std::int64_t{1} << 16;

/// One logical tensor, or equal ones stacked on the first axis (the experts of a layer).
struct DatasetSpec {
  std::string name;  ///< "model/layers/3/mlp/experts/up_proj/weight"
  Dtype dtype = Dtype::float32;
  std::vector<std::int64_t> shape;  ///< global, 1 to 4 extents, each at least 1
  std::string axes;                 ///< names of the extents: "expert,out,in"
  /// Tensors stacked on the first axis, each cut into blocks of its own: so that the blocks of one
  /// expert lie on one rank. Divides shape[0].
  std::int64_t parts = 1;
  std::vector<Attribute> attributes;  ///< more HDF5 attributes ("unit", "comment"), not read back

  bool operator==(const DatasetSpec&) const = default;
};

/// Everything that one save writes but for the values of the tensors. The same on all ranks.
struct CheckpointContent {
  std::int64_t step = 0;
  std::vector<Attribute> attributes;  ///< scalars of the run: tokens, data position, seed
  std::vector<std::pair<std::string, std::string>> texts;  ///< name, UTF-8: resolved deck, build
  std::vector<DatasetSpec> datasets;
};

/// How the elements of a dataset are cut into blocks: kDigestBlock elements each, beginning anew at
/// each part; the last one of a part may be shorter.
class BlockGrid {
 public:
  explicit BlockGrid(const DatasetSpec& spec);

  std::int64_t elements() const { return parts_ * part_elements_; }
  std::int64_t blocks() const { return parts_ * part_blocks_; }
  /// First element of a block; block == blocks() gives elements().
  std::int64_t begin(std::int64_t block) const {
    const std::int64_t part = block / part_blocks_;
    return part * part_elements_ + (block - part * part_blocks_) * kDigestBlock;
  }
  std::int64_t count(std::int64_t block) const { return begin(block + 1) - begin(block); }
  /// The block that holds an element.
  std::int64_t block_of(std::int64_t element) const {
    const std::int64_t part = element / part_elements_;
    return part * part_blocks_ + (element - part * part_elements_) / kDigestBlock;
  }

 private:
  std::int64_t parts_;
  std::int64_t part_elements_;
  std::int64_t part_blocks_;
};

/// Elements of a shape; Error(io) naming `place` when the bytes of it would overflow int64.
std::int64_t checked_elements(const std::vector<std::int64_t>& shape, Dtype dtype,
                              const std::string& place);

/// Throws Error(io) unless names, shapes, parts and axes are what the format allows.
void check_spec(const DatasetSpec& spec, const std::string& place);

/// A file or folder that fails a check; the reader then takes the checkpoint before.
class DamagedCheckpoint : public Error {
 public:
  explicit DamagedCheckpoint(const std::string& message) : Error(ExitCode::io, message) {}
};

/// "step_00000042".
std::string checkpoint_name(std::int64_t step);
/// The step of such a name, -1 for any other name.
std::int64_t checkpoint_step(const std::string& name);

}  // namespace moray
