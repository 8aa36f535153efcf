// The main of every Catch2 test: Kokkos lives around the session; cases tagged [long] run only when
// MORAY_TEST_LONG is set.
#if __has_include(<catch2/catch_session.hpp>)
#include "catch.hpp"
#else
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"
#endif

#include <Kokkos_Core.hpp>
#include <cstdlib>

int main(int argc, char** argv) {
  Kokkos::initialize(argc, argv);
  int failures = 0;
  {
    Catch::Session session;
    failures = session.applyCommandLine(argc, argv);
    if (failures == 0) {
      auto& config = session.configData();
      if (std::getenv("MORAY_TEST_LONG") == nullptr && config.testsOrTags.empty()) {
        config.testsOrTags.push_back("~[long]");
      }
      failures = session.run();
    }
  }
  Kokkos::finalize();
  return failures == 0 ? 0 : 1;
}
