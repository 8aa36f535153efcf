#include <Kokkos_Core.hpp>

#include "comm/communicator.hpp"
#include "commands.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "kernels/functions/self_check.hpp"
#include "kernels/variants.hpp"
#include "runtime.hpp"
#include "training/run.hpp"

namespace moray {

int train(const Options& options) {
  // 1. The deck first: its errors must not wait for MPI, and --check and --print-deck need nothing
  //    else.
  if (options.check || options.print_deck) {
    std::string resolved;
    read_deck(options.deck, options.overrides, &resolved, options.ranks);
    fmt::print("{}", options.print_deck ? resolved : options.deck + ": no errors\n");
    return static_cast<int>(ExitCode::done);
  }
  // 2. MPI, then Kokkos; both outlive everything that is made from them.
  Runtime runtime(options);
  return runtime.run([&](const Communicator& ranks) {
    // 3. The deck again, for as many ranks as really run.
    TrainRequest request{
        .deck_path = options.deck,
        .reading = try_read_deck(options.deck, options.overrides, ranks.size()),
        .out = options.out,
        .resume = options.resume,
        .time_limit = options.time_limit.empty() ? 0 : seconds_of(options.time_limit)};
    if (!request.reading.problems.empty()) {
      throw Error(ExitCode::usage, request.reading.problems.report(options.deck));
    }
    // 4. Exact arithmetic or no start; vendor libraries only where the deck allows them.
    select_kernels(request.reading.deck);
    // 5. Train.
    return train(request, ranks);
  });
}

}  // namespace moray
