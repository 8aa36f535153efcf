#include <type_traits>

#include "core/error.hpp"
#include "kernels/functions/self_check.hpp"
#include "kernels/functions/self_check_arguments.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/variants.hpp"

namespace moray {
namespace {

constexpr std::uint64_t kProductDigest = 0x87ebc18298e9a626u;

View1<float> to_backend(const ExecSpace& exec, const std::vector<float>& values,
                        const std::string& label) {
  View1<float> view(label, values.size());
  const Kokkos::View<const float*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged> host(values.data(),
                                                                                    values.size());
  Kokkos::deep_copy(exec, view, host);
  return view;
}

std::vector<float> to_host(const ExecSpace& exec, const View1<float>& view) {
  std::vector<float> values(view.size());
  const Kokkos::View<float*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged> host(values.data(),
                                                                              values.size());
  Kokkos::deep_copy(exec, host, view);
  fence(exec, "the self check reads its results");
  return values;
}

/// One index for each thread of the host backend.
void set_state_of_host_threads(const HostExecSpace& exec) {
  static const std::string label = "moray::functions::set_exact_float_state";
  using Policy = Kokkos::RangePolicy<HostExecSpace, Kokkos::Schedule<Kokkos::Static>>;
  Kokkos::parallel_for(label, Policy(exec, 0, exec.concurrency(), Kokkos::ChunkSize(1)),
                       [](int) { set_exact_float_state(); });
  exec.fence();
}

std::uint64_t digest_functions(const ExecSpace& exec, const CheckArguments& in) {
  static const std::string label = "moray::functions::self_check";
  const auto x = to_backend(exec, in.any, "moray::functions::check_any");
  const auto angle = to_backend(exec, in.angle, "moray::functions::check_angle");
  const View1<float> y("moray::functions::check_results", kCheckArguments * kFloatFunctions);
  parallel_for(
      label, exec, kCheckArguments,
      KOKKOS_LAMBDA(std::int64_t i) { float_functions(x(i), angle(i), &y(i * kFloatFunctions)); });
  return digest_of(to_host(exec, y));
}

/// The three forms of a product of odd sizes, one after the other.
std::uint64_t digest_product(const ExecSpace& exec, const CheckArguments& in) {
  constexpr std::int64_t m = 7, n = 35, k = 41;
  const auto a = to_backend(exec, in.moderate, "moray::functions::check_a");
  const auto b = to_backend(exec, in.angle, "moray::functions::check_b");
  const View1<float> c("moray::functions::check_c", m * n);
  const Matrix<float> out = matrix(c.data(), m, n);
  std::vector<float> results;
  const auto run = [&](GemmForm form, Matrix<const float> left, Matrix<const float> right) {
    gemm<float>(exec, form, left, right, out);
    for (const float value : to_host(exec, c)) results.push_back(value);
  };
  run(GemmForm::nt, matrix<const float>(a.data(), m, k), matrix<const float>(b.data(), n, k));
  run(GemmForm::nn, matrix<const float>(a.data(), m, k), matrix<const float>(b.data(), k, n));
  run(GemmForm::tn, matrix<const float>(a.data(), k, m), matrix<const float>(b.data(), k, n));
  return digest_of(results);
}

}  // namespace

void require_exact_arithmetic(const ExecSpace& exec) {
  if constexpr (std::is_same_v<ExecSpace, HostExecSpace>) {
    set_state_of_host_threads(exec);
  } else {
    set_state_of_host_threads(HostExecSpace());
  }
  const CheckArguments in = check_arguments();
  const auto require = [](const char* what, std::uint64_t digest, std::uint64_t expected) {
    if (digest == expected) return;
    fail(ExitCode::numerics,
         "{} on the Kokkos backend {}: digest {:016x} instead of {:016x}, not the bits of "
         "docs/numerics.md. Build without fast-math flags, or set `determinism: run`",
         what, ExecSpace::name(), digest, expected);
  };
  require("float32 functions", digest_functions(exec, in), kFloatFunctionsDigest);
  if (is_exact(selected_variant(Op::gemm))) {
    require("a small product", digest_product(exec, in), kProductDigest);
  }
}

}  // namespace moray
