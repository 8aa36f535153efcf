#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moray {

/// One implementation of an op. `portable` is Kokkos and always built; `host_*` are exact
/// micro-kernels for one instruction set; the rest are vendor variants, admitted only under
/// `determinism: run`.
enum class Variant { portable, host_generic, host_v3, host_v4, blas, onednn, kokkos_kernels };
std::string_view variant_name(Variant variant);
/// Exact variants obey docs/numerics.md to the bit.
bool is_exact(Variant variant);

/// The ops that have a choice of variants.
enum class Op {
  gemm,
  attention,
  rmsnorm,
  swiglu,
  cross_entropy,
  adamw,
  elementwise,
  quantize,
  mixed_gemm
};
inline constexpr Op kOps[] = {Op::gemm,        Op::attention,     Op::rmsnorm,
                              Op::swiglu,      Op::cross_entropy, Op::adamw,
                              Op::elementwise, Op::quantize,      Op::mixed_gemm};
std::string_view op_name(Op op);

/// The variants of `op` that this build has and this processor can run, fastest exact one first,
/// vendor ones last.
std::vector<Variant> available_variants(Op op);
/// The variant that runs: the fastest exact one unless forced.
Variant selected_variant(Op op);
/// Forces a variant (deck: `kernels: {gemm: portable}`; tests loop over all). Throws Error(usage)
/// when this build or processor has it not.
void force_variant(Op op, Variant variant);
/// For `determinism: run`: each op that has a vendor variant takes it.
void prefer_vendor_variants();
/// Back to the default choice for every op.
void reset_variants();

}  // namespace moray
