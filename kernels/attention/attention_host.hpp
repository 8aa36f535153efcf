#pragma once

/// Attention of one head on one thread, as plain functions over raw pointers: float32, compiled once
/// per instruction set, so this header includes neither Kokkos nor the STL.

namespace moray {

/// One head of one sequence. Rows are positions; strides in elements.
struct AttentionHead {
  long rows;               // S
  long nope, rope, value;  // widths
  const float* q;          // (S, nope + rope), rotated and scaled
  long q_stride;
  const float* k;  // (S, nope)
  const float* v;  // (S, value)
  long kv_stride;
  const float* k_pe;  // (S, rope), rotated
  long k_pe_stride;
};

struct AttentionOutput {
  float* m;  // (S), elements m_stride apart
  float* l;  // (S)
  long m_stride, l_stride;
  float* o;  // (S, value)
  long o_stride;
};

struct AttentionGradient {
  float scale;
  const float* m;  // (S), elements m_stride apart
  const float* l;  // (S)
  long m_stride, l_stride;
  const float* o;  // (S, value)
  long o_stride;
  const float* dout;  // (S, value)
  long dout_stride;
  float* dq;  // (S, nope + rope)
  long dq_stride;
  float* dk;  // (S, nope)
  float* dv;  // (S, value)
  long dkv_stride;
  float* dk_pe;  // (S, rope): this head's part
  long dk_pe_stride;
  float* delta;  // (S), elements delta_stride apart
  long delta_stride;
};

/// One instruction set's attention. Scratch is aligned to 64 bytes; attention_host_sizes.hpp says
/// how much.
struct HostAttention {
  /// Outputs of the rows [begin, end) of a head.
  void (*forward)(const AttentionHead& head, long begin, long end, const AttentionOutput& out,
                  float* scratch);
  /// All gradients of a head.
  void (*backward)(const AttentionHead& head, const AttentionGradient& gradient, float* scratch);
};

}  // namespace moray
