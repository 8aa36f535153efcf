#include <fmt/format.h>
#include <hdf5.h>
#include <mpi.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/kokkos.hpp"
#include "kernels/variants.hpp"
#include "runtime.hpp"

namespace moray {
namespace {

/// What starts in every process that trains, before it takes memory of its own.
nlohmann::ordered_json runtime_info(const Communicator& ranks) {
  char library[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  check_mpi(MPI_Get_library_version(library, &length), "MPI_Get_library_version", "info");
  const std::string text(library, static_cast<std::size_t>(length));
  unsigned version[3] = {};
  if (H5open() < 0 || H5get_libversion(&version[0], &version[1], &version[2]) < 0)
    fail(ExitCode::io, "HDF5 does not start");
  return {{"ranks", ranks.size()},
          {"threads", HostExecSpace().concurrency()},
          {"backend", ExecSpace::name()},
          {"mpi_library", text.substr(0, text.find_first_of(",\n"))},
          {"hdf5_library", fmt::format("{}.{}.{}", version[0], version[1], version[2])}};
}

nlohmann::ordered_json build_and_variants() {
  const BuildInfo build = build_info();
  nlohmann::ordered_json all = {
      {"version", build.version},   {"git", build.git_hash},      {"build", build.build_type},
      {"compiler", build.compiler}, {"baseline", build.baseline}, {"kokkos", build.kokkos},
      {"mpi", build.mpi},           {"hdf5", build.hdf5},
  };
  for (const Op op : kOps) {
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const Variant variant : available_variants(op)) names.push_back(variant_name(variant));
    all["variants"][std::string(op_name(op))] = names;
  }
  return all;
}

void print(const nlohmann::ordered_json& all, bool json) {
  if (json) {
    fmt::print("{}\n", all.dump(2));
    return;
  }
  for (const auto& [key, value] : all.items())
    if (value.is_string()) fmt::print("{:<12} {}\n", key, value.get<std::string>());
  fmt::print("variants of each operation, the fastest exact one first:\n");
  for (const auto& [op, names] : all["variants"].items()) {
    fmt::print("  {:<14}", op);
    for (const auto& name : names) fmt::print(" {}", name.get<std::string>());
    fmt::print("\n");
  }
  if (!all.contains("runtime")) return;
  fmt::print("started:\n");
  for (const auto& [key, value] : all["runtime"].items())
    fmt::print("  {:<14} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
}

}  // namespace

int info(const Options& options) {
  nlohmann::ordered_json all = build_and_variants();
  if (!options.runtime) {
    print(all, options.json);
    return static_cast<int>(ExitCode::done);
  }
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    all["runtime"] = runtime_info(ranks);
    if (ranks.rank() == 0) print(all, options.json);
    return ExitCode::done;
  });
}

}  // namespace moray
