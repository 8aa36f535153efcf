#include "bench.hpp"

#include <fmt/format.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <iterator>

#include "bench_report.hpp"
#include "commands.hpp"
#include "core/error.hpp"

namespace moray {

void print(const Report& report, const BenchOptions& options) {
  fmt::print("{}", options.json ? report.json() : options.csv ? report.csv() : report.table());
}

namespace {

/// Benchmarks of kernels, for which Kokkos is started here, and those that start MPI and Kokkos.
struct KernelBench {
  const char* name;
  int (*run)(const BenchOptions& options);
};
constexpr KernelBench kKernelBenches[] = {{"gemm", bench_gemm},
                                          {"fp8-gemm", bench_fp8_gemm},
                                          {"quantize", bench_quantize},
                                          {"attention", bench_attention}};
struct RankBench {
  const char* name;
  int (*run)(const Options& options, const BenchOptions& wanted);
};
constexpr RankBench kRankBenches[] = {{"alltoall", bench_alltoall},
                                      {"progress", bench_progress},
                                      {"checkpoint", bench_checkpoint},
                                      {"step", bench_step}};

[[noreturn]] void refuse(const std::string& topic) {
  std::string names;
  for (const KernelBench& each : kKernelBenches) names += fmt::format("{}, ", each.name);
  for (const RankBench& each : kRankBenches) names += fmt::format("{}, ", each.name);
  names.resize(names.size() - 2);
  fail(ExitCode::usage, "moray bench: '{}' is no benchmark; there are: {}", topic, names);
}

}  // namespace

int bench(const Options& options) {
  const auto named = [&](const auto& each) { return options.topic == each.name; };
  const auto* kernel = std::find_if(std::begin(kKernelBenches), std::end(kKernelBenches), named);
  const auto* ranks = std::find_if(std::begin(kRankBenches), std::end(kRankBenches), named);
  if (kernel == std::end(kKernelBenches) && ranks == std::end(kRankBenches)) refuse(options.topic);
  if (options.json && options.csv) fail(ExitCode::usage, "moray bench: --json or --csv, not both");
  if (!(options.seconds > 0)) fail(ExitCode::usage, "moray bench: --seconds must be positive");

  const BenchOptions wanted = {options.deck, options.overrides, options.seconds, options.json,
                               options.csv};
  if (ranks != std::end(kRankBenches)) return ranks->run(options, wanted);

  std::vector<std::string> words = {"moray"};
  words.insert(words.end(), options.kokkos_arguments.begin(), options.kokkos_arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(words.size());
  const Kokkos::ScopeGuard kokkos(count, arguments.data());
  return kernel->run(wanted);
}

}  // namespace moray
