#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/checkpoint_reader.hpp"

namespace moray {

/// The folder in which a run keeps its checkpoints, `step_00000042` and so on.

/// Steps for which a checkpoint lies there, ascending.
std::vector<std::int64_t> list_checkpoints(const std::string& folder);

/// Called by all ranks: the newest checkpoint all of whose bytes are those written; empty if there
/// is none. Blocks are verified by all ranks together, each its share. A damaged one is renamed to
/// `step_N.bad` with a warning, and the one before is tried; if there is none before, or only others
/// that were set aside, that is an Error(io). So is one of a future version, or one that this user may
/// not read.
std::optional<Checkpoint> open_newest(Collective& ranks, const std::string& folder);

/// Called by all ranks: the checkpoint at `path`, all of it verified. Sets nothing aside.
Checkpoint open_verified(Collective& ranks, const std::string& path);

/// The checkpoint that `path` means: itself if it is one, else the newest in it or in its
/// `checkpoints` folder, by name only. Error(io) if there is none.
std::string resolve_checkpoint(const std::string& path);

/// What to keep.
struct Retention {
  std::int64_t last = 3;   ///< the newest so many, at least 1
  std::int64_t every = 0;  ///< and every step that this divides; 0: no others
};

/// On rank 0, after a save: deletes what need not be kept. Always kept as well: `verified`, the
/// step of the checkpoint last read with all digests right (-1: none), and the newest one whose
/// manifest, sizes and layout are right.
void apply_retention(const std::string& folder, const Retention& retention, std::int64_t verified);

/// On rank 0: sets aside every checkpoint after `step` (to `step_N.superseded`): a run that goes
/// on from an older one would else meet those of its other future.
void supersede_after(const std::string& folder, std::int64_t step);

/// On rank 0, by the owner of the run's lock: removes what killed saves and deletions left.
void remove_leftovers(const std::string& folder);

}  // namespace moray
