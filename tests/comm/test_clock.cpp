// Clocks of ranks that differ, on however many ranks the test is started on.
#include <mpi.h>

#include <cmath>

#include "catch.hpp"
#include "comm/clock.hpp"

using namespace moray;

namespace {

double skew = 0;  // of this rank's clock

double skewed_clock() {
  return steady_seconds() + skew;
}

}  // namespace

TEST_CASE("a clock is found to differ by what it differs, within the stated error", "[clock]") {
  MPI_Init(nullptr, nullptr);
  {
    const Communicator ranks = Communicator::world();
    // Ranks of one machine read the same clock.
    const ClockOffset none = clock_offset(ranks);
    CHECK(none.seconds == 0);
    CHECK(none.error == 0);

    skew = 0.37 * ranks.rank() * ranks.rank() - 2.5 * (ranks.rank() % 3);
    const ClockOffset offset = offset_by_messages(ranks, skewed_clock);
    CAPTURE(ranks.rank(), offset.seconds, offset.error, skew);
    CHECK(std::abs(offset.seconds + skew) <= offset.error + 1e-9);
    CHECK((offset.error > 0) == (ranks.rank() > 0));
    CHECK(offset.error < 0.1);  // far below the skews, whatever the machine does meanwhile
  }
  MPI_Finalize();
}
