#include "io/run_folder.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "io/files.hpp"

extern char** environ;

namespace moray {
namespace {

constexpr std::int64_t kLargestStatus = 65536;

std::string working_folder() {
  std::error_code error;
  return std::filesystem::current_path(error).string();
}

bool is_shown(std::string_view name) {
  constexpr std::array kPrefixes = {"OMP_",  "KOKKOS_",   "SLURM_", "OMPI_", "PMIX_", "MPICH_",
                                    "NCCL_", "UCX_",      "CUDA_",  "HIP_",  "ROCR_", "MORAY_",
                                    "HDF5_", "OPENBLAS_", "DNNL_",  "FI_"};
  constexpr std::array kSecrets = {"TOKEN", "SECRET", "PASSW", "JWT", "KEY", "CRED"};
  const auto begins = [&](const char* prefix) { return name.starts_with(prefix); };
  const auto holds = [&](const char* word) { return name.find(word) != std::string_view::npos; };
  return std::any_of(kPrefixes.begin(), kPrefixes.end(), begins) &&
         std::none_of(kSecrets.begin(), kSecrets.end(), holds);
}

/// Makes runs/<name>-<time>; two starts in one second get different names.
std::string make_default_folder(const std::string& name) {
  make_folders("runs");
  const std::string first = fmt::format("runs/{}-{}", name, utc_compact());
  std::string path = first;
  for (int i = 2; path_exists(path); ++i) path = fmt::format("{}-{}", first, i);
  make_folder(path);
  return path;
}

}  // namespace

bool RunFolder::holds_run(const std::string& path) {
  return path_exists(path + "/STATUS") || path_exists(path + "/checkpoints") ||
         path_exists(path + "/metrics") || path_exists(path + "/deck.yaml");
}

RunFolder RunFolder::create(const std::string& path, const std::string& name) {
  if (!path.empty() && holds_run(path))
    fail(ExitCode::io,
         "{}: holds a run already; go on with it by --resume auto, or choose another --out", path);
  if (path_exists(path) && !is_folder(path))
    fail(ExitCode::io, "{}: is a file, not a folder; choose another --out", path);
  std::string made = path;
  if (path.empty()) {
    made = make_default_folder(name);
  } else {
    make_folders(path);
  }
  if (::access(made.c_str(), W_OK | X_OK) != 0)
    fail(ExitCode::io, "{}: is not writable; check the permissions or choose another --out", made);
  make_folder(made + "/checkpoints");
  return RunFolder(made, false);
}

RunFolder RunFolder::open(const std::string& path) {
  if (!holds_run(path))
    fail(ExitCode::io, "{}: holds no run to resume; start one without --resume", path);
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    fail(ExitCode::io, "{}: is not writable; check the permissions", path);
  make_folders(path + "/checkpoints");
  return RunFolder(path, true);
}

std::string RunFolder::newest_start(const std::string& path) {
  std::string folder = path;
  for (const std::string& name : list_folder(path))
    if (name.starts_with("resume-")) folder = path + "/" + name;  // the list is sorted
  return folder;
}

void RunFolder::record_start(std::string_view deck, std::string_view resolved) const {
  std::string folder = path_;
  if (resumed_) {
    int number = 1;
    do {
      folder = fmt::format("{}/resume-{:04}", path_, number++);
    } while (path_exists(folder));
    make_folder(folder);
  }
  replace_text(folder + "/deck.yaml", deck);
  replace_text(folder + "/resolved.yaml", resolved);
  replace_text(folder + "/build.txt", build_text());
  replace_text(folder + "/environment.txt", environment_text());
}

void RunFolder::write_status(std::string_view status) const {
  replace_text(path_ + "/STATUS", fmt::format("{}\n", status));
}

std::string RunFolder::status_of(const std::string& path) {
  std::string text = read_text(path + "/STATUS", kLargestStatus);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string build_text() {
  const BuildInfo build = build_info();
  return fmt::format(
      "version {}\ncommit {}\nbuild type {}\ncompiler {}\nbaseline {}\nKokkos {}\nMPI {}\nHDF5 "
      "{}\n",
      build.version, build.git_hash, build.build_type, build.compiler, build.baseline, build.kokkos,
      build.mpi, build.hdf5);
}

std::string environment_text() {
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (is_shown(text.substr(0, text.find('=')))) variables.emplace_back(text);
  }
  std::sort(variables.begin(), variables.end());
  std::string text =
      fmt::format("host {}\ndate {}\nfolder {}\nprocessors {}\n", host, utc_compact(),
                  working_folder(), std::thread::hardware_concurrency());
  for (const std::string& variable : variables) text += variable + "\n";
  return text;
}

std::string utc_compact() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

}  // namespace moray
