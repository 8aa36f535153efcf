#pragma once

namespace moray {

/// What this executable was built from and with; printed by `moray info` and in every banner.
struct BuildInfo {
  const char* version;
  const char* git_hash;  ///< abbreviated, with "-dirty" when the work tree was changed
  const char* build_type;
  const char* compiler;
  const char* baseline;  ///< the -m flags of the whole program; kernels add their own
  const char* kokkos;
  const char* mpi;
  const char* hdf5;
};

BuildInfo build_info();

}  // namespace moray
