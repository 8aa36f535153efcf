#pragma once

/// Products over packed blocks of keys, shared by the forward and the backward of a head.

#include "core/progress.hpp"
#include "kernels/attention/attention_host.hpp"
#include "kernels/attention/attention_host_sizes.hpp"
#include "kernels/gemm/gemm_host.hpp"

namespace moray::MORAY_ISA {

extern const HostGemm host_gemm;

namespace {

static_assert(kKeyBlock <= kGemmBlockDepth);

inline long min(long a, long b) {
  return a < b ? a : b;
}
inline long max(long a, long b) {
  return a > b ? a : b;
}
/// The right side b (k, n) of a product, packed in blocks of kGemmBlockDepth steps.
struct Operand {
  GemmForm form;
  long n;
  long k;
  float* packed;
};

/// An operand at `place`, which moves behind it.
inline Operand operand_at(float*& place, GemmForm form, long n, long k) {
  const Operand operand = {form, n, k, place};
  place += operand_floats(n, k);
  return operand;
}

/// All column tiles of b.
inline long tiles_of(const Operand& b) {
  return (b.n + host_gemm.tile_columns - 1) / host_gemm.tile_columns;
}

/// Packs b: (k, n), or for form nt (n, k).
inline void pack(const Operand& operand, const float* b, long ldb) {
  for (long l = 0; l < operand.k; l += kGemmBlockDepth) {
    const float* from = operand.form == GemmForm::nt ? b + l : b + l * ldb;
    host_gemm.pack(operand.form, operand.n, min(kGemmBlockDepth, operand.k - l), from, ldb, 0,
                   tiles_of(operand), operand.packed + host_gemm.packed_floats(operand.n, l));
  }
  make_progress();
}

/// c (m, n) from steps [begin, end) of a and b, whose column 0 (row 0 for form tn) of a is step
/// `begin`, for the column tiles [0, tiles).
inline void multiply(GemmStart start, const Operand& b, long tiles, long begin, long end, long m,
                     const float* a, long lda, float* c, long ldc) {
  for (long l = begin; l < end;) {
    const long block = l / kGemmBlockDepth * kGemmBlockDepth;
    const long depth = min(kGemmBlockDepth, b.k - block);
    const long steps = min(end, block + depth) - l;
    const float* left = b.form == GemmForm::tn ? a + (l - begin) * lda : a + (l - begin);
    const float* packed = b.packed + host_gemm.packed_floats(b.n, block);
    if (steps == depth) {
      host_gemm.multiply(b.form, start, m, b.n, depth, left, lda, packed, 0, tiles, c, ldc);
    } else {
      // A tile of b lies step after step: a part of its steps is a tile of fewer steps.
      for (long j = 0; j < tiles; ++j) {
        const long first = j * host_gemm.tile_columns;
        const long width = min(host_gemm.tile_columns, host_gemm.packed_floats(b.n - first, 1));
        const float* tile = packed + first * depth + (l - block) * width;
        host_gemm.multiply(b.form, start, m, b.n, steps, left, lda, tile - first * steps, j, j + 1,
                           c, ldc);
      }
    }
    start = GemmStart::c;
    l += steps;
  }
}

/// Products of the queries [begin, end) with a block of keys that starts at position `first`: left
/// row i is query begin + i. Groups of a register tile's rows leave out the tiles of keys that none
/// of them sees; what is computed beyond the diagonal means nothing.
inline void multiply_visible(GemmStart start, const Operand& keys, long first, long begin, long end,
                             const float* left, long left_stride, float* c, long ldc) {
  if (keys.k == 0) return;
  for (long i = begin; i < end; i += host_gemm.tile_rows) {
    const long rows = min(host_gemm.tile_rows, end - i);
    const long visible = min(keys.n, i + rows - first);
    if (visible <= 0) continue;
    const long tiles = (visible + host_gemm.tile_columns - 1) / host_gemm.tile_columns;
    multiply(start, keys, tiles, 0, keys.k, rows, left + (i - begin) * left_stride, left_stride,
             c + (i - begin) * ldc, ldc);
  }
}

/// s_ij of the queries [begin, end) and a block of keys: one chain over nope, then rope.
inline void scores(const AttentionHead& head, const Operand& nope, const Operand& rope, long first,
                   long begin, long end, float* c, long ldc) {
  const float* q = head.q + begin * head.q_stride;
  multiply_visible(GemmStart::zero, nope, first, begin, end, q, head.q_stride, c, ldc);
  multiply_visible(nope.k > 0 ? GemmStart::c : GemmStart::zero, rope, first, begin, end,
                   q + head.nope, head.q_stride, c, ldc);
}

/// c (query, n) += or = sum over the keys of a block of p (query, key) b (key, n), keys beyond a
/// group's last query left out: there p is zero.
inline void multiply_probabilities(GemmStart start, const Operand& b, long first, long begin,
                                   long end, const float* p, long p_stride, float* c, long ldc) {
  if (b.n == 0) return;
  for (long i = begin; i < end; i += host_gemm.tile_rows) {
    const long rows = min(host_gemm.tile_rows, end - i);
    const long visible = min(b.k, i + rows - first);
    if (visible <= 0) continue;
    multiply(start, b, tiles_of(b), 0, visible, rows, p + (i - begin) * p_stride, p_stride,
             c + (i - begin) * ldc, ldc);
  }
}

}  // namespace
}  // namespace moray::MORAY_ISA
