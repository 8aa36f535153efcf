#pragma once

#include <array>
#include <string_view>

namespace moray {

/// The named moments of a save and of a deletion, in order. With MORAY_CHECKPOINT_DIE_AT=<name> in
/// the environment the process kills itself there (SIGKILL), so that tests can show that no moment
/// loses the previous checkpoint.
inline constexpr std::array<std::string_view, 18> kCheckpointCrashPoints = {
    "begin",            // free space was checked, nothing is on disk
    "folder_made",      // the temporary folder is there
    "laid_out",         // HDF5 has laid the file out and closed it
    "block_written",    // the first blocks of some rank are written
    "blocks_written",   // all blocks of some rank are written
    "digests_written",  // those of some rank are fsynced, and their digests are in blocks.xxh3
    "blocks_synced",    // all ranks have fsynced their blocks and the digests of them
    "all_digested",     // rank 0 has the digests of all datasets
    "manifest_half",    // half of the bytes of the manifest are written
    "manifest_written",
    "manifest_synced",
    "folder_synced",
    "renamed",  // the checkpoint has its name
    "parent_synced",
    "trash_renamed",  // a deletion: the old checkpoint has lost its name
    "trash_without_manifest",
    "trash_half_removed",
    "trash_removed",
};

/// Kills the process if the environment names this point.
void crash_point(std::string_view name);

}  // namespace moray
