#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "core/build_info.hpp"
#include "core/error.hpp"
#include "kernels/variants.hpp"

namespace moray {

int info(const Options& options) {
  const BuildInfo build = build_info();
  nlohmann::ordered_json all = {
      {"version", build.version},   {"git", build.git_hash},      {"build", build.build_type},
      {"compiler", build.compiler}, {"baseline", build.baseline}, {"kokkos", build.kokkos},
      {"mpi", build.mpi},           {"hdf5", build.hdf5},
  };
  for (const Op op : {Op::gemm, Op::attention, Op::rmsnorm, Op::swiglu, Op::cross_entropy,
                      Op::adamw, Op::elementwise}) {
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const Variant variant : available_variants(op)) names.push_back(variant_name(variant));
    all["variants"][std::string(op_name(op))] = names;
  }
  if (options.json) {
    fmt::print("{}\n", all.dump(2));
    return static_cast<int>(ExitCode::done);
  }
  for (const auto& [key, value] : all.items())
    if (value.is_string()) fmt::print("{:<12} {}\n", key, value.get<std::string>());
  fmt::print("variants of each operation, the fastest exact one first:\n");
  for (const auto& [op, names] : all["variants"].items()) {
    fmt::print("  {:<14}", op);
    for (const auto& name : names) fmt::print(" {}", name.get<std::string>());
    fmt::print("\n");
  }
  return static_cast<int>(ExitCode::done);
}

}  // namespace moray
