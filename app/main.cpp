#include <fmt/format.h>

#include "core/build_info.hpp"

int main() {
  const moray::BuildInfo build = moray::build_info();
  fmt::print("moray {} ({})\n", build.version, build.git_hash);
  return 0;
}
