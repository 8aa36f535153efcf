#pragma once

#include <string>
#include <string_view>

namespace moray {

/// The folder of one run: deck, resolved deck, build, environment, log, metrics, checkpoints,
/// STATUS. Rank 0 makes and writes it. All functions throw Error(io).
class RunFolder {
 public:
  /// A new run at `path`, or, where that is empty, at `runs/<name>-<UTC time>`. The folder may be
  /// there but must hold no run.
  static RunFolder create(const std::string& path, const std::string& name);
  /// A run that is there, to go on with.
  static RunFolder open(const std::string& path);
  /// True if the folder holds a run (or what is left of one).
  static bool holds_run(const std::string& path);

  const std::string& path() const { return path_; }
  std::string checkpoints() const { return path_ + "/checkpoints"; }
  std::string log() const { return path_ + "/log.txt"; }
  bool resumed() const { return resumed_; }

  /// The folder in which the newest start of a run left its deck and environment.
  static std::string newest_start(const std::string& path);

  /// Keeps what this start was made from: `deck.yaml` (the bytes of the deck), `resolved.yaml`,
  /// `build.txt` and `environment.txt`; for each later start in `resume-0001/` and so on.
  void record_start(std::string_view deck, std::string_view resolved) const;
  /// Replaces STATUS as a whole: one line of a word (running, done, stopped, failed) and details.
  void write_status(std::string_view status) const;
  std::string status() const { return status_of(path_); }
  /// The same of a run that is only looked at, which need not be writable.
  static std::string status_of(const std::string& path);

 private:
  RunFolder(std::string path, bool resumed) : path_(std::move(path)), resumed_(resumed) {}

  std::string path_;
  bool resumed_;
};

/// Version, commit, compiler and libraries, a line each.
std::string build_text();
/// Host, working folder, processors and the variables that steer Kokkos, OpenMP, MPI, Slurm, NCCL,
/// UCX, CUDA, HIP and Moray, a line each; none that holds a credential.
std::string environment_text();
/// "20260102T030405Z".
std::string utc_compact();

}  // namespace moray
