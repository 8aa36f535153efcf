#include "io/checkpoint_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "core/log.hpp"
#include "io/crash_point.hpp"

namespace moray {
namespace {

constexpr const char* kTrash = ".trash-";

std::string path_of(const std::string& folder, std::int64_t step) {
  return fmt::format("{}/{}", folder, checkpoint_name(step));
}

/// Renames `path` to `path.<suffix>`, or with a number if that is taken.
std::string set_aside(const std::string& path, const char* suffix) {
  std::string target = fmt::format("{}.{}", path, suffix);
  for (int i = 2; path_exists(target); ++i) target = fmt::format("{}.{}-{}", path, suffix, i);
  rename_path(path, target);
  sync_folder(parent_of(path));
  return target;
}

/// The manifest goes first: a deletion that is killed leaves nothing that looks whole, and from
/// the rename on nothing with a checkpoint's name.
void discard(const std::string& folder, std::int64_t step) {
  const std::string trash = fmt::format("{}/{}{}", folder, kTrash, checkpoint_name(step));
  remove_tree(trash);
  rename_path(path_of(folder, step), trash);
  crash_point("trash_renamed");
  ::unlink(fmt::format("{}/{}", trash, kManifestFile).c_str());
  crash_point("trash_without_manifest");
  ::unlink(fmt::format("{}/{}", trash, kTensorFile).c_str());
  crash_point("trash_half_removed");
  remove_tree(trash);
  crash_point("trash_removed");
}

/// Runs `work` on all ranks; returns the damage that any rank found, empty if none did. Other
/// errors are thrown on all ranks.
std::string find_damage(Collective& ranks, const std::function<void()>& work) {
  std::string damage;
  agree(ranks, [&] {
    try {
      work();
    } catch (const DamagedCheckpoint& error) {
      damage = error.what();
    }
  });
  if (ranks.all(damage.empty())) return "";
  for (const std::string& found : ranks.gather(damage)) {
    if (!found.empty()) {
      damage = found;
      break;
    }
  }
  ranks.broadcast(damage);
  return damage;
}

/// Opens and verifies; on damage returns nothing and says why.
std::optional<Checkpoint> try_open(Collective& ranks, const std::string& path,
                                   std::string& damage) {
  damage = find_damage(ranks, [&] {
    if (ranks.rank() == 0) Checkpoint{path};
  });
  if (!damage.empty()) return std::nullopt;
  std::optional<Checkpoint> checkpoint(std::in_place, ranks, path);
  damage = find_damage(ranks, [&] { checkpoint->verify_blocks(ranks.rank(), ranks.size()); });
  if (!damage.empty()) checkpoint.reset();
  return checkpoint;
}

/// A run whose checkpoints are all damaged must not begin again as if it had none.
void require_none_damaged(const std::string& folder) {
  for (const std::string& name : list_folder(folder)) {
    if (name.starts_with("step_") && name.find(".bad") != std::string::npos)
      fail(ExitCode::io,
           "{}/{}: is damaged and there is no other checkpoint; to begin again choose another "
           "folder, or move it away",
           folder, name);
  }
}

bool is_whole(const std::string& path) {
  try {
    Checkpoint{path};
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::vector<std::int64_t> list_checkpoints(const std::string& folder) {
  std::vector<std::int64_t> steps;
  for (const std::string& name : list_folder(folder)) {
    if (const std::int64_t step = checkpoint_step(name); step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<Checkpoint> open_newest(Collective& ranks, const std::string& folder) {
  while (true) {
    std::string path;
    agree(ranks, [&] {
      if (ranks.rank() != 0) return;
      const auto steps = list_checkpoints(folder);
      if (!steps.empty()) path = path_of(folder, steps.back());
      if (steps.empty()) require_none_damaged(folder);
    });
    ranks.broadcast(path);
    if (path.empty()) return std::nullopt;
    std::string damage;
    std::optional<Checkpoint> checkpoint = try_open(ranks, path, damage);
    if (checkpoint) return checkpoint;
    agree(ranks, [&] {
      if (ranks.rank() != 0) return;
      const std::string aside = set_aside(path, "bad");
      Log::global().warn("{}; the damaged checkpoint is now {}, the one before is taken", damage,
                         aside);
    });
  }
}

Checkpoint open_verified(Collective& ranks, const std::string& path) {
  std::string damage;
  std::optional<Checkpoint> checkpoint = try_open(ranks, path, damage);
  if (!checkpoint) throw DamagedCheckpoint(damage);
  return std::move(*checkpoint);
}

std::string resolve_checkpoint(const std::string& path) {
  if (path_exists(fmt::format("{}/{}", path, kManifestFile))) return path;
  if (path_exists(path) && !is_folder(path))
    fail(ExitCode::io, "{}: is a file; give the folder of a run or of a checkpoint", path);
  for (const std::string& folder : {path, fmt::format("{}/checkpoints", path)}) {
    const auto steps = list_checkpoints(folder);
    if (!steps.empty()) return path_of(folder, steps.back());
  }
  fail(ExitCode::io, "{}: holds no checkpoint; give the folder of a run or of a checkpoint", path);
}

void apply_retention(const std::string& folder, const Retention& retention, std::int64_t verified) {
  const std::vector<std::int64_t> steps = list_checkpoints(folder);
  std::set<std::int64_t> keep = {verified};
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto newer = static_cast<std::int64_t>(steps.size() - 1 - i);
    if (newer < std::max<std::int64_t>(retention.last, 1)) keep.insert(steps[i]);
    if (retention.every > 0 && steps[i] % retention.every == 0) keep.insert(steps[i]);
  }
  if (std::all_of(steps.begin(), steps.end(), [&](auto step) { return keep.contains(step); }))
    return;
  const auto whole = std::find_if(steps.rbegin(), steps.rend(), [&](std::int64_t step) {
    return is_whole(path_of(folder, step));
  });
  if (whole == steps.rend()) return;  // nothing here can be relied on: delete nothing
  keep.insert(*whole);
  for (std::int64_t step : steps) {
    if (!keep.contains(step)) discard(folder, step);
  }
  sync_folder(folder);
}

void supersede_after(const std::string& folder, std::int64_t step) {
  for (std::int64_t later : list_checkpoints(folder)) {
    if (later <= step) continue;
    const std::string aside = set_aside(path_of(folder, later), "superseded");
    Log::global().warn("the run goes on from step {}: the checkpoint of step {} is now {}", step,
                       later, aside);
  }
}

void remove_leftovers(const std::string& folder) {
  for (const std::string& name : list_folder(folder)) {
    const bool unfinished = name.starts_with("step_") && name.find(".tmp-") != std::string::npos;
    if (unfinished || name.starts_with(kTrash)) remove_tree(fmt::format("{}/{}", folder, name));
  }
}

}  // namespace moray
