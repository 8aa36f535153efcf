// The backward of one head, docs/numerics.md section 5, by tiles of query rows and keys: query rows
// in increasing order outside, so that the chains of dk and dv grow in increasing i, and keys in
// increasing order inside, so that those of dq grow in increasing j. Scores are computed again.
#include "kernels/attention/attention_host_blocks.hpp"
#include "kernels/host/simd.hpp"

namespace moray::MORAY_ISA {

void attention_backward(const AttentionHead& head, const AttentionGradient& gradient,
                        float* scratch);

namespace {

/// What a block of keys brings to the backward.
struct KeyBlock {
  long first;
  long keys;
  Operand nope, rope, value;     // (nope, keys), (rope, keys), (value, keys): scores and du
  Operand nope_rows, rope_rows;  // (keys, nope), (keys, rope): dq
};

KeyBlock key_block(const AttentionHead& head, long first, float* packed) {
  float* place =
      packed + first / kKeyBlock * backward_key_floats(kKeyBlock, head.nope, head.rope, head.value);
  const long keys = min(kKeyBlock, head.rows - first);
  KeyBlock block = {first, keys, {}, {}, {}, {}, {}};
  block.nope = operand_at(place, GemmForm::nt, keys, head.nope);
  block.rope = operand_at(place, GemmForm::nt, keys, head.rope);
  block.value = operand_at(place, GemmForm::nt, keys, head.value);
  block.nope_rows = operand_at(place, GemmForm::nn, head.nope, keys);
  block.rope_rows = operand_at(place, GemmForm::nn, head.rope, keys);
  return block;
}

/// A block of query rows [begin, end) and what it brings to the gradients of keys and values.
struct QueryBlock {
  long begin;
  long end;
  float* u;                   // (rows, value), u_i = r_i do_i
  Operand nope, rope, value;  // (rows, nope), (rows, rope), (rows, value) of q and u
};

QueryBlock query_block(const AttentionHead& head, const AttentionGradient& g, long begin,
                       float* place) {
  const long end = min(head.rows, begin + kBackwardRows);
  const long rows = end - begin;
  QueryBlock block = {begin, end, place, {}, {}, {}};
  place += kBackwardRows * head.value;
  for (long i = begin; i < end; ++i) {
    const Float r = Float::broadcast(1.0f / g.l[i * g.l_stride]);
    const float* dout = g.dout + i * g.dout_stride;
    const float* o = g.o + i * g.o_stride;
    float* u = block.u + (i - begin) * head.value;
    g.delta[i * g.delta_stride] =
        row_reduction<Float>(head.value, [=](std::int64_t d, int count, Float chain) {
          const Float product = r * Float::load(dout + d, count);
          product.store(u + d, count);
          return fma(product, Float::load(o + d, count), chain);
        });
  }
  block.nope = operand_at(place, GemmForm::tn, head.nope, rows);
  block.rope = operand_at(place, GemmForm::tn, head.rope, rows);
  block.value = operand_at(place, GemmForm::tn, head.value, rows);
  pack(block.nope, head.q + begin * head.q_stride, head.q_stride);
  pack(block.rope, head.q + begin * head.q_stride + head.nope, head.q_stride);
  pack(block.value, block.u, head.value);
  return block;
}

/// Scores s of one row and du = chain(u v) become e and dS: s[0, n) and du[0, n), the rest up to
/// `filled` +0.
void gradient_row(float m, float delta, long n, long filled, float* s, float* du) {
  const Float shift = Float::broadcast(m), minus = Float::broadcast(delta);
  const Float lowest = Float::broadcast(-40.0f);
  for (long j = 0; j < n; j += Float::kLanes) {
    const int count = static_cast<int>(min(Float::kLanes, n - j));
    const Float d = Float::load(s + j, count) - shift;
    const Float e = select(less(d, lowest), Float::zero(), exp(d));
    e.store(s + j, count);
    (e * (Float::load(du + j, count) - minus)).store(du + j, count);
  }
  for (long j = n; j < filled; ++j) s[j] = du[j] = 0;
}

/// c (key, n) += chain over the block's queries of p (query, key) b (query, n). On the diagonal,
/// groups of a register tile's keys begin with the first query that sees one of them.
void add_to_keys(const Operand& b, const QueryBlock& queries, long first, long keys, const float* p,
                 long p_stride, float* c, long ldc) {
  if (b.n == 0) return;
  const long rows = queries.end - queries.begin;
  for (long j = 0; j < keys; j += host_gemm.tile_rows) {
    const long group = min(host_gemm.tile_rows, keys - j);
    const long skipped = max(0, first + j - queries.begin);
    multiply(GemmStart::c, b, tiles_of(b), skipped, rows, group, p + skipped * p_stride + j,
             p_stride, c + j * ldc, ldc);
  }
}

/// All that a tile of query rows and keys adds.
void add_tile(const AttentionHead& head, const AttentionGradient& g, const QueryBlock& queries,
              const KeyBlock& block, float* s, float* du, long stride) {
  const long first = block.first, begin = queries.begin, end = queries.end;
  const long keys = min(block.keys, end - first);
  scores(head, block.nope, block.rope, first, begin, end, s, stride);
  multiply_visible(GemmStart::zero, block.value, first, begin, end, queries.u, head.value, du,
                   stride);
  for (long i = begin; i < end; ++i) {
    // Register tiles reach beyond the diagonal by less than their rows.
    const long n = max(0, min(keys, i + 1 - first));
    gradient_row(g.m[i * g.m_stride], g.delta[i * g.delta_stride], n,
                 min(keys, n + host_gemm.tile_rows), s + (i - begin) * stride,
                 du + (i - begin) * stride);
  }
  const GemmStart start = first == 0 ? GemmStart::zero : GemmStart::c;
  float* dq = g.dq + begin * g.dq_stride;
  multiply_probabilities(start, block.nope_rows, first, begin, end, du, stride, dq, g.dq_stride);
  multiply_probabilities(start, block.rope_rows, first, begin, end, du, stride, dq + head.nope,
                         g.dq_stride);
  add_to_keys(queries.value, queries, first, keys, s, stride, g.dv + first * g.dkv_stride,
              g.dkv_stride);
  add_to_keys(queries.nope, queries, first, keys, du, stride, g.dk + first * g.dkv_stride,
              g.dkv_stride);
  add_to_keys(queries.rope, queries, first, keys, du, stride, g.dk_pe + first * g.dk_pe_stride,
              g.dk_pe_stride);
}

void clear(long rows, long cols, float* x, long stride) {
  for (long i = 0; i < rows; ++i) {
    for (long j = 0; j < cols; ++j) x[i * stride + j] = 0;
    if (i % kKeyBlock == 0) make_progress();
  }
}

}  // namespace

void attention_backward(const AttentionHead& head, const AttentionGradient& g, float* scratch) {
  const long stride = score_stride(min(head.rows, kKeyBlock));
  float* s = scratch;
  float* du = s + kBackwardRows * stride;
  float* query_space = du + kBackwardRows * stride;
  float* packed = query_space + query_floats(head.nope, head.rope, head.value);
  clear(head.rows, head.nope, g.dk, g.dkv_stride);
  clear(head.rows, head.value, g.dv, g.dkv_stride);
  clear(head.rows, head.rope, g.dk_pe, g.dk_pe_stride);
  for (long first = 0; first < head.rows; first += kKeyBlock) {
    const KeyBlock block = key_block(head, first, packed);
    const float* k = head.k + first * head.kv_stride;
    const float* k_pe = head.k_pe + first * head.k_pe_stride;
    pack(block.nope, k, head.kv_stride);
    pack(block.rope, k_pe, head.k_pe_stride);
    pack(block.value, head.v + first * head.kv_stride, head.kv_stride);
    pack(block.nope_rows, k, head.kv_stride);
    pack(block.rope_rows, k_pe, head.k_pe_stride);
  }
  for (long begin = 0; begin < head.rows; begin += kBackwardRows) {
    const QueryBlock queries = query_block(head, g, begin, query_space);
    for (long first = 0; first < queries.end; first += kKeyBlock) {
      add_tile(head, g, queries, key_block(head, first, packed), s, du, stride);
    }
    const Float scale = Float::broadcast(g.scale);
    for (long i = begin; i < queries.end; ++i) {
      float* dq = g.dq + i * g.dq_stride;
      for (long d = 0; d < head.nope + head.rope; d += Float::kLanes) {
        const int count = static_cast<int>(min(Float::kLanes, head.nope + head.rope - d));
        (scale * Float::load(dq + d, count)).store(dq + d, count);
      }
    }
  }
}

}  // namespace moray::MORAY_ISA
