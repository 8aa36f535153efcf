// Some positions of each sequence, with the up-projections absorbed: kv_b = [W_UK; W_UV] of each head
// is applied to the query and to the weighted latent instead of to every cached position, so that a
// query reads c + rope elements a position, whatever the number of heads. Each row of this is computed
// by itself, so that its bits do not depend on how many positions are read at a time.
#include "attention/attention.hpp"
#include "core/error.hpp"
#include "kernels/attention/latent_softmax.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/rope/rope.hpp"

namespace moray {

/// Writes [latent | rotary key] of the new positions behind those of the positions before.
template <class Real>
void Mla<Real>::append(Pass<Real>& pass, const RowLayout& rows, const Slot& slot,
                       std::int64_t position, const LatentCache<Real>& cache) const {
  const std::int64_t chunk = rows.rows;
  for (std::int64_t s = 0; s < rows.batch->sequences(); ++s) {
    const Matrix<Real> entry = cache.of(s, position + chunk).row_range(position, chunk);
    copy<Real>(pass.exec, slot.latent_kv.row_range(s * chunk, chunk),
               entry.column_range(0, config_.latent));
    copy<Real>(pass.exec, rotary_part(slot.down).row_range(s * chunk, chunk),
               entry.column_range(config_.latent, config_.rope_width));
  }
}

/// cache.query = [q_nope W_UK | q_pe] of each head: what a cached entry is multiplied with.
template <class Real>
void Mla<Real>::absorb_query(Pass<Real>& pass, Matrix<const Real> q,
                             const LatentCache<Real>& cache) const {
  const std::int64_t head = config_.nope_width + config_.rope_width;
  const Matrix<const Real> kv_b = pass.parameters->weight(kv_b_.weight());
  pass.tasks.clear();
  for (std::int64_t h = 0; h < config_.heads; ++h) {
    pass.tasks.push_back({.a = q.data + h * head,
                          .lda = q.stride,
                          .b = kv_b.row(h * (config_.nope_width + config_.value_width)),
                          .ldb = kv_b.stride,
                          .c = cache.query.data + h * cache.width,
                          .ldc = cache.query.stride,
                          .m = q.rows,
                          .n = config_.latent,
                          .k = config_.nope_width});
  }
  gemm<Real>(pass.exec, GemmForm::nn, pass.tasks);
  for (std::int64_t s = 0; s < q.rows; ++s) {
    const Matrix<const Real> from{q.row(s) + config_.nope_width, config_.heads, config_.rope_width,
                                  head};
    copy<Real>(pass.exec, from,
               matrix(cache.query.row(s), config_.heads, cache.width)
                   .column_range(config_.latent, config_.rope_width));
  }
}

/// cache.mixed = softmax(query entriesᵀ) latents, each row with the positions up to its own.
template <class Real>
void Mla<Real>::mix_latents(Pass<Real>& pass, const RowLayout& rows, std::int64_t position,
                            const LatentCache<Real>& cache) const {
  const std::int64_t heads = config_.heads;
  const auto entries = [&](std::int64_t t) {
    return cache.of(t / rows.rows, position + t % rows.rows + 1);
  };
  pass.tasks.clear();
  for (std::int64_t t = 0; t < rows.total(); ++t) {
    const Matrix<Real> seen = entries(t);
    pass.tasks.push_back({.a = cache.query.row(t),
                          .lda = cache.width,
                          .b = seen.data,
                          .ldb = seen.stride,
                          .c = cache.scores.row(t * heads),
                          .ldc = cache.scores.stride,
                          .m = heads,
                          .n = seen.rows,
                          .k = cache.width});
  }
  gemm<Real>(pass.exec, GemmForm::nt, pass.tasks);
  latent_softmax<Real>(pass.exec, {heads, rows.rows, position + 1},
                       cache.scores.row_range(0, rows.total() * heads));
  pass.tasks.clear();
  for (std::int64_t t = 0; t < rows.total(); ++t) {
    const Matrix<Real> seen = entries(t);
    pass.tasks.push_back({.a = cache.scores.row(t * heads),
                          .lda = cache.scores.stride,
                          .b = seen.data,
                          .ldb = seen.stride,
                          .c = cache.mixed.row(t),
                          .ldc = config_.latent,
                          .m = heads,
                          .n = config_.latent,
                          .k = seen.rows});
  }
  gemm<Real>(pass.exec, GemmForm::nn, pass.tasks);
}

/// o = mixed W_UVᵀ of each head.
template <class Real>
void Mla<Real>::absorb_value(Pass<Real>& pass, const LatentCache<Real>& cache,
                             Matrix<Real> o) const {
  const Matrix<const Real> kv_b = pass.parameters->weight(kv_b_.weight());
  const std::int64_t rows = config_.nope_width + config_.value_width;
  pass.tasks.clear();
  for (std::int64_t h = 0; h < config_.heads; ++h) {
    pass.tasks.push_back({.a = cache.mixed.data + h * config_.latent,
                          .lda = cache.mixed.stride,
                          .b = kv_b.row(h * rows + config_.nope_width),
                          .ldb = kv_b.stride,
                          .c = o.data + h * config_.value_width,
                          .ldc = o.stride,
                          .m = o.rows,
                          .n = config_.value_width,
                          .k = config_.latent});
  }
  gemm<Real>(pass.exec, GemmForm::nt, pass.tasks);
}

template <class Real>
void Mla<Real>::decode(Pass<Real>& pass, const RowLayout& rows, const RotaryTable<Real>& table,
                       std::int64_t position, Matrix<const Real> x, Slot& slot,
                       const LatentCache<Real>& cache, Matrix<Real> out) const {
  MORAY_REQUIRE(position + rows.rows <= cache.positions && rows.total() <= cache.query.rows);
  const RotaryTable<Real> here = table.at(position, rows.rows);
  down_.forward(pass, x, slot.down);
  if (compressed_query()) {
    q_norm_.forward(pass, slot.down.column_range(0, config_.query_latent), slot.latent_q, slot.r_q);
  }
  up_query(pass, rows.rows, here, slot);
  kv_norm_.forward(pass, latent_part(slot.down), slot.latent_kv, slot.r_kv);
  rope<Real>(pass.exec, here.cosine(), here.sine(), {1, 0, 0, config_.rope_width}, rows.rows, false,
             rotary_part(slot.down));
  append(pass, rows, slot, position, cache);
  absorb_query(pass, slot.q, cache);
  mix_latents(pass, rows, position, cache);
  absorb_value(pass, cache, slot.o);
  o_proj_.forward(pass, slot.o, out);
}

#define MORAY_INSTANTIATE(Real)                                                            \
  template void Mla<Real>::decode(Pass<Real>&, const RowLayout&, const RotaryTable<Real>&, \
                                  std::int64_t, Matrix<const Real>, Slot&,                 \
                                  const LatentCache<Real>&, Matrix<Real>) const;
MORAY_INSTANTIATE(float)
MORAY_INSTANTIATE(double)
#undef MORAY_INSTANTIATE

}  // namespace moray
