#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/checkpoint_writer.hpp"

namespace moray {
class Checkpoint;
}

namespace moray::testing {

/// A folder of its own under the system's temporary one, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A small checkpoint with every dtype, tensors of several blocks, of one, of one element, and
/// stacked ones whose blocks end within. The values depend on the step and on the element alone.
struct Sample {
  explicit Sample(std::int64_t step);
  CheckpointContent content;
  std::vector<std::vector<char>> values;  ///< bytes of each dataset

  /// The slabs of one of `size` ranks: blocks are dealt in runs.
  std::vector<Slab> slabs(int rank, int size) const;
};

/// Whether a rank writes its blocks itself, or a thread of it does.
enum class Writing { in_front, behind };
/// Saves the sample of a step from so many ranks (threads); returns the ranks' errors.
std::vector<std::string> save_sample(const std::string& folder, std::int64_t step, int ranks = 1,
                                     Writing writing = Writing::in_front);

/// What `read` gives for every dataset equals the sample of the checkpoint's step, whole and in
/// odd pieces.
bool equals_sample(const Checkpoint& checkpoint);

}  // namespace moray::testing
