#include "bench.hpp"

#include <fmt/format.h>

#include <Kokkos_Core.hpp>

#include "bench_report.hpp"
#include "commands.hpp"
#include "core/error.hpp"

namespace moray {

void print(const Report& report, const BenchOptions& options) {
  fmt::print("{}", options.json ? report.json() : options.csv ? report.csv() : report.table());
}

int bench(const Options& options) {
  if (options.topic != "gemm" && options.topic != "attention" && options.topic != "alltoall" &&
      options.topic != "progress" && options.topic != "checkpoint") {
    fail(ExitCode::usage,
         "moray bench: '{}' is no benchmark; there are: gemm, attention, alltoall, progress, "
         "checkpoint",
         options.topic);
  }
  if (options.json && options.csv) fail(ExitCode::usage, "moray bench: --json or --csv, not both");
  if (!(options.seconds > 0)) fail(ExitCode::usage, "moray bench: --seconds must be positive");

  const BenchOptions wanted = {options.deck, options.overrides, options.seconds, options.json,
                               options.csv};
  if (options.topic == "alltoall") return bench_alltoall(options, wanted);
  if (options.topic == "progress") return bench_progress(options, wanted);
  if (options.topic == "checkpoint") return bench_checkpoint(options, wanted);

  std::vector<std::string> words = {"moray"};
  words.insert(words.end(), options.kokkos_arguments.begin(), options.kokkos_arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(words.size());
  const Kokkos::ScopeGuard kokkos(count, arguments.data());
  return options.topic == "gemm" ? bench_gemm(wanted) : bench_attention(wanted);
}

}  // namespace moray
