#pragma once

namespace moray {

/// The three products of a Linear y = x wᵀ with weights w (out, in), docs/numerics.md section 2.
/// Apart from gemm.hpp since the host micro-kernels include it, which may not see Kokkos.
enum class GemmForm {
  nt,  ///< forward:         c (m, n)  = a (m, k) b (n, k)ᵀ
  nn,  ///< input gradient:  c (m, n)  = a (m, k) b (k, n)
  tn,  ///< weight gradient: c (m, n) += a (k, m)ᵀ b (k, n), the chain starts from c
};

}  // namespace moray
