// The route through MPI-IO: the same bytes as with pwrite, and its errors.
#include <mpi.h>

#include <cstdlib>

#include "catch.hpp"
#include "core/error.hpp"
#include "io/checkpoint_folder.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

/// MPI from the first case of this process to its end.
void start_mpi() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized != 0) return;
  MPI_Init(nullptr, nullptr);
  std::atexit([] { MPI_Finalize(); });
}

std::string save_by(const OpenOutput& open, const std::string& folder) {
  const Sample sample(1);
  SerialCollective alone;
  return save_checkpoint(alone, folder, "test", sample.content, sample.slabs(0, 1), open);
}

}  // namespace

TEST_CASE("MPI-IO writes the bytes that pwrite writes", "[checkpoint][mpiio]") {
  start_mpi();
  TemporaryFolder posix, mpiio;
  const std::string first = save_by(posix_output, posix.path());
  const std::string second = save_by(mpi_output, mpiio.path());
  for (const char* file : {kTensorFile, kBlockFile})
    CHECK(read_text(first + "/" + file, 1 << 26) == read_text(second + "/" + file, 1 << 26));
  CHECK(list_folder(second) == list_folder(first));
  CHECK(list_folder(mpiio.path()) == list_folder(posix.path()));
  SerialCollective alone;
  CHECK(equals_sample(open_verified(alone, second)));
}

TEST_CASE("what MPI-IO cannot do is an error of files with their path", "[checkpoint][mpiio]") {
  start_mpi();
  TemporaryFolder folder;
  try {
    mpi_output(folder / "nothing");
    FAIL("opened a file that is not there");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::io);
    CHECK(std::string(error.what()).find(folder / "nothing: MPI_File_open failed") == 0);
  }
}
