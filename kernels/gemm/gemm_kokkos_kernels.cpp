// Float32 products by Kokkos Kernels, one call a task (determinism: run): the portable route to the
// BLAS of the backend, be it a CPU's, cuBLAS or rocBLAS.
#include <KokkosBlas3_gemm.hpp>
#include <string>

#include "kernels/gemm/gemm_vendor.hpp"

namespace moray {
namespace {

template <class T>
using Product =
    Kokkos::View<T**, Kokkos::LayoutRight, MemSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// Rows `stride` apart, of which the first `cols` elements count.
template <class T>
auto view(T* data, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  const Product<T> whole(data, static_cast<std::size_t>(rows), static_cast<std::size_t>(stride));
  return Kokkos::subview(whole, Kokkos::ALL(),
                         std::pair<std::size_t, std::size_t>(0, static_cast<std::size_t>(cols)));
}

}  // namespace

void gemm_kokkos_kernels(const ExecSpace& exec, GemmForm form,
                         std::span<const GemmTask<float>> tasks) {
  static const std::string label = "moray::gemm::kokkos_kernels";
  const ScopedRegion region(label);
  const bool tn = form == GemmForm::tn;
  const bool nt = form == GemmForm::nt;
  for (const GemmTask<float>& t : tasks) {
    if (is_empty(form, t)) continue;
    const auto a = tn ? view(t.a, t.k, t.m, t.lda) : view(t.a, t.m, t.k, t.lda);
    const auto b = nt ? view(t.b, t.n, t.k, t.ldb) : view(t.b, t.k, t.n, t.ldb);
    const auto c = view(t.c, t.m, t.n, t.ldc);
#if KOKKOS_VERSION >= 40000
    KokkosBlas::gemm(exec, tn ? "T" : "N", nt ? "T" : "N", 1.0f, a, b, tn ? 1.0f : 0.0f, c);
#else
    (void)exec;  // 3.x has no instance argument: its calls run on the default one
    KokkosBlas::gemm(tn ? "T" : "N", nt ? "T" : "N", 1.0f, a, b, tn ? 1.0f : 0.0f, c);
#endif
  }
}

}  // namespace moray
