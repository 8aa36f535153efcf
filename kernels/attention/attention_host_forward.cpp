// The forward of one head, docs/numerics.md section 5. Keys and values are packed once; then, for a
// block of query rows at a time: scores against each block of keys, softmax along whole rows, and
// the product with the values block by block, which goes on with the same chains.
#include "kernels/attention/attention_host_blocks.hpp"
#include "kernels/host/simd.hpp"

namespace moray::MORAY_ISA {

void attention_forward(const AttentionHead& head, long begin, long end, const AttentionOutput& out,
                       float* scratch);

namespace {

/// Scores of one row to probabilities: s[0, n) becomes e, s[n, filled) +0.
struct RowStatistics {
  float m;
  float l;
};
RowStatistics softmax(float* s, long n, long filled) {
  const float maximum = row_max(n, s);
  const Float shift = Float::broadcast(maximum);
  const Float lowest = Float::broadcast(-40.0f);
  const float sum = row_reduction<Float>(n, [=](std::int64_t j, int count, Float chain) {
    const Float d = Float::load(s + j, count) - shift;
    const Float e = select(less(d, lowest), Float::zero(), exp(d));
    e.store(s + j, count);
    return chain + e;
  });
  for (long j = n; j < filled; ++j) s[j] = 0;
  return {maximum, sum};
}

void scale_row(float factor, long n, float* x) {
  const Float r = Float::broadcast(factor);
  for (long d = 0; d < n; d += Float::kLanes) {
    const int count = static_cast<int>(min(Float::kLanes, n - d));
    (r * Float::load(x + d, count)).store(x + d, count);
  }
}

/// What a block of keys brings to the forward.
struct KeyBlock {
  long first;
  long keys;
  Operand nope;   // (nope, keys)
  Operand rope;   // (rope, keys)
  Operand value;  // (keys, value)
};

/// The block of keys from `first` on, of those before `end`; block after block in `packed`.
KeyBlock key_block(const AttentionHead& head, long first, long end, float* packed) {
  float* place =
      packed + first / kKeyBlock * forward_key_floats(kKeyBlock, head.nope, head.rope, head.value);
  const long keys = min(kKeyBlock, end - first);
  KeyBlock block = {first, keys, {}, {}, {}};
  block.nope = operand_at(place, GemmForm::nt, keys, head.nope);
  block.rope = operand_at(place, GemmForm::nt, keys, head.rope);
  block.value = operand_at(place, GemmForm::nn, head.value, keys);
  return block;
}

/// Outputs of a block of query rows [begin, end) with packed keys; s (rows, end of all keys).
void forward_rows(const AttentionHead& head, long begin, long end, long keys, float* packed,
                  const AttentionOutput& out, float* s, long stride) {
  for (long first = 0; first < end; first += kKeyBlock) {
    const KeyBlock block = key_block(head, first, keys, packed);
    scores(head, block.nope, block.rope, first, begin, end, s + first, stride);
  }
  // A group of a register tile's rows multiplies up to its last row's key.
  const long tile = host_gemm.tile_rows;
  for (long i = begin; i < end; ++i) {
    const long filled = min(end, begin + ((i - begin) / tile + 1) * tile);
    const RowStatistics row = softmax(s + (i - begin) * stride, i + 1, filled);
    out.m[i * out.m_stride] = row.m;
    out.l[i * out.l_stride] = row.l;
  }
  float* o = out.o + begin * out.o_stride;
  for (long first = 0; first < end; first += kKeyBlock) {
    const KeyBlock block = key_block(head, first, keys, packed);
    multiply_probabilities(first == 0 ? GemmStart::zero : GemmStart::c, block.value, first, begin,
                           end, s + first, stride, o, out.o_stride);
  }
  for (long i = begin; i < end; ++i) {
    scale_row(1.0f / out.l[i * out.l_stride], head.value, out.o + i * out.o_stride);
  }
}

}  // namespace

void attention_forward(const AttentionHead& head, long begin, long end, const AttentionOutput& out,
                       float* scratch) {
  const long stride = score_stride(end);
  float* s = scratch;
  float* packed = s + kForwardRows * stride;
  for (long first = 0; first < end; first += kKeyBlock) {
    const KeyBlock block = key_block(head, first, end, packed);
    pack(block.nope, head.k + first * head.kv_stride, head.kv_stride);
    pack(block.rope, head.k_pe + first * head.k_pe_stride, head.k_pe_stride);
    pack(block.value, head.v + first * head.kv_stride, head.kv_stride);
  }
  for (long i = begin; i < end; i += kForwardRows) {
    forward_rows(head, i, min(end, i + kForwardRows), end, packed, out, s, stride);
  }
}

}  // namespace moray::MORAY_ISA
