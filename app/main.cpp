// moray: from the command line to a subcommand and back to an exit code.

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string_view>

#include "commands.hpp"
#include "core/error.hpp"

namespace {

constexpr int kInternalError = 1;  // never a documented code: such an end is a bug

int run(int argc, char** argv) {
  // 1. One table says which subcommands there are and what each takes; --help is made from it.
  moray::Options options;
  const std::vector<moray::Command> table = moray::command_table(options);

  // 2. The launcher puts `launch-info` in front of a command line to learn how many ranks it wants.
  const bool asked = argc > 1 && std::string_view(argv[1]) == "launch-info";
  if (asked) {
    --argc;
    ++argv;
  }

  // 3. Parse. Arguments of Kokkos (--kokkos-*) are set aside for whoever starts it; anything else
  //    that no row of the table knows is an error.
  const moray::Command* command = moray::parse_command_line(argc, argv, table, options);
  if (command == nullptr) return static_cast<int>(moray::ExitCode::done);
  if (asked) return moray::launch_info(*command, options);

  // 4. Run it. Only subcommands that compute initialise MPI and Kokkos, and they do it themselves:
  //    a login node allows neither.
  return command->run(options);
}

}  // namespace

int main(int argc, char** argv) {
  // 5. Every error ends here: one clear message, and the code that the batch system acts on.
  try {
    return run(argc, argv);
  } catch (const moray::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "moray: {}\n", error.what());
    return kInternalError;
  }
}
