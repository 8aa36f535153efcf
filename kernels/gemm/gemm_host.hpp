#pragma once

/// The serial float32 product of one instruction set, as plain functions over raw pointers: what
/// gemm() runs in its tiles and what other host kernels (attention) call in theirs. The file that
/// defines them is compiled once per instruction set, so this header includes neither Kokkos nor
/// the STL.

#include "kernels/gemm/gemm_form.hpp"

namespace moray {

/// Deepest piece of a chain between two visits to c.
inline constexpr long kGemmBlockDepth = 512;

/// Which end of a chain a piece of k is: a chain starts from +0 or from c and returns c + 0.
enum class GemmStart { zero, c };

/// One instruction set's product. Sizes are long (64 bits on every host that Kokkos runs on) and
/// leading dimensions row strides in elements; scratch is aligned to 64 bytes.
struct HostGemm {
  /// Register tile: rows of a by columns of b.
  long tile_rows;
  long tile_columns;

  /// Floats of b (k, n) or (n, k)ᵀ once packed: columns padded to whole vectors.
  long (*packed_floats)(long n, long k);
  /// Packs the column tiles [tile_begin, tile_end) of b; tile j holds columns j * tile_columns and
  /// up. Forms nn and tn read b (k, n), form nt reads b (n, k). k is at most kGemmBlockDepth: deeper
  /// products are packed block by block, block kb at packed_floats(n, kb) floats.
  void (*pack)(GemmForm form, long n, long k, const float* b, long ldb, long tile_begin,
               long tile_end, float* packed);
  /// c (m, n) from a (m, k), or (k, m)ᵀ for form tn, and packed b, for the column tiles
  /// [tile_begin, tile_end). k is at most kGemmBlockDepth. Each element is the chain over k from
  /// +0 or from c, returned as c + 0.
  void (*multiply)(GemmForm form, GemmStart start, long m, long n, long k, const float* a, long lda,
                   const float* packed, long tile_begin, long tile_end, float* c, long ldc);
  /// Floats of scratch that serial needs.
  long (*serial_scratch)(long m, long n, long k);
  /// The whole product by one thread, of any size: packs by itself.
  void (*serial)(GemmForm form, GemmStart start, long m, long n, long k, const float* a, long lda,
                 const float* b, long ldb, float* c, long ldc, float* scratch);
};

}  // namespace moray
