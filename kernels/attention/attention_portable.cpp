#include "kernels/attention/attention_portable.hpp"

#include <limits>

#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"

namespace moray::portable {
namespace {

// One index of every launch is a (sequence, head, row), the row running fastest. Nothing of the
// size S x S is stored: scores are computed where they are used, three products forward (scores
// twice) and seven backward. That costs arithmetic and no memory, which suits a definition.
struct Place {
  std::int64_t row;    ///< position i in its sequence
  std::int64_t head;   ///< h
  std::int64_t first;  ///< matrix row of position 0 of the sequence
};

KOKKOS_INLINE_FUNCTION Place place_of(const AttentionShape& shape, std::int64_t index) {
  const std::int64_t block = index / shape.rows;
  return {index % shape.rows, block % shape.heads, block / shape.heads * shape.rows};
}

template <class Real>
struct Operands {
  AttentionShape shape;
  Matrix<const Real> q;     // (T, H (nope + rope))
  Matrix<const Real> kv;    // (T, H (nope + value))
  Matrix<const Real> k_pe;  // (T, rope)

  KOKKOS_FUNCTION const Real* query(std::int64_t t, std::int64_t h) const {
    return q.row(t) + h * (shape.nope + shape.rope);
  }
  KOKKOS_FUNCTION const Real* key(std::int64_t t, std::int64_t h) const {
    return kv.row(t) + h * (shape.nope + shape.value);
  }
  KOKKOS_FUNCTION const Real* value(std::int64_t t, std::int64_t h) const {
    return key(t, h) + shape.nope;
  }

  /// s_ij: one chain over nope, then rope. ti and tj are matrix rows.
  KOKKOS_FUNCTION Real score(std::int64_t ti, std::int64_t tj, std::int64_t h) const {
    const Real* a = query(ti, h);
    const Real* b = key(tj, h);
    const Real* pe = k_pe.row(tj);
    Real c = 0;
    for (std::int64_t k = 0; k < shape.nope; ++k) c = fused(a[k], b[k], c);
    for (std::int64_t k = 0; k < shape.rope; ++k) c = fused(a[shape.nope + k], pe[k], c);
    return c + Real(0);
  }
};

/// e_ij = exp(s - m), +0 where s - m < -40: denormal probabilities are slow and count for nothing.
template <class Real>
KOKKOS_INLINE_FUNCTION Real probability(Real s, Real m) {
  const Real d = s - m;
  return d < Real(-40) ? Real(0) : exp_exact(d);
}

/// What a query row brings to the backward.
template <class Real>
struct QueryGradient {
  Matrix<const Real> dout;   // (T, H value)
  Matrix<const Real> m;      // (T, H)
  Matrix<const Real> l;      // (T, H)
  Matrix<const Real> delta;  // (T, H)

  /// chain(u_i v_j) - delta_i with u_i = r do_i.
  KOKKOS_FUNCTION Real row_term(const Operands<Real>& in, std::int64_t ti, std::int64_t tj,
                                std::int64_t h) const {
    const Real r = Real(1) / l(ti, h);
    const Real* dout_row = dout.row(ti) + h * in.shape.value;
    const Real* v = in.value(tj, h);
    Real c = 0;
    for (std::int64_t d = 0; d < in.shape.value; ++d) c = fused(r * dout_row[d], v[d], c);
    return (c + Real(0)) - delta(ti, h);
  }
};

template <class Real>
void compute_delta(const ExecSpace& exec, const AttentionShape& shape, Matrix<const Real> dout,
                   Matrix<const Real> o, Matrix<const Real> l, Matrix<Real> delta) {
  static const std::string label = "moray::attention::delta";
  parallel_for(
      label, exec, delta.rows * shape.heads, KOKKOS_LAMBDA(std::int64_t index) {
        const std::int64_t t = index / shape.heads;
        const std::int64_t h = index % shape.heads;
        const Real r = Real(1) / l(t, h);
        const Real* dout_row = dout.row(t) + h * shape.value;
        const Real* o_row = o.row(t) + h * shape.value;
        delta(t, h) = row_product_sum<Real>(
            shape.value, [&](std::int64_t d) { return r * dout_row[d]; },
            [&](std::int64_t d) { return o_row[d]; });
      });
}

template <class Real>
void query_gradients(const ExecSpace& exec, Real scale, const Operands<Real>& in,
                     const QueryGradient<Real>& gradient, Matrix<Real> dq) {
  static const std::string label = "moray::attention::dq";
  const std::int64_t count = in.shape.sequences * in.shape.heads * in.shape.rows;
  parallel_for(
      label, exec, count, KOKKOS_LAMBDA(std::int64_t index) {
        const Place place = place_of(in.shape, index);
        const std::int64_t h = place.head, ti = place.first + place.row;
        const std::int64_t nope = in.shape.nope, rope = in.shape.rope;
        Real* out = dq.row(ti) + h * (nope + rope);
        for (std::int64_t k = 0; k < nope + rope; ++k) out[k] = 0;
        for (std::int64_t tj = place.first; tj <= ti; ++tj) {
          const Real e = probability(in.score(ti, tj, h), gradient.m(ti, h));
          const Real ds = e * gradient.row_term(in, ti, tj, h);
          const Real* key = in.key(tj, h);
          const Real* pe = in.k_pe.row(tj);
          for (std::int64_t k = 0; k < nope; ++k) out[k] = fused(ds, key[k], out[k]);
          for (std::int64_t k = 0; k < rope; ++k) out[nope + k] = fused(ds, pe[k], out[nope + k]);
        }
        for (std::int64_t k = 0; k < nope + rope; ++k) out[k] = scale * (out[k] + Real(0));
      });
}

/// dkv (T, H (nope + value)) and, per head, the rotary key's gradient heads_dk_pe (T, H rope).
template <class Real>
void key_gradients(const ExecSpace& exec, const Operands<Real>& in,
                   const QueryGradient<Real>& gradient, Matrix<Real> dkv,
                   Matrix<Real> heads_dk_pe) {
  static const std::string label = "moray::attention::dkv";
  const std::int64_t count = in.shape.sequences * in.shape.heads * in.shape.rows;
  parallel_for(
      label, exec, count, KOKKOS_LAMBDA(std::int64_t index) {
        const Place place = place_of(in.shape, index);
        const std::int64_t h = place.head, tj = place.first + place.row;
        const std::int64_t nope = in.shape.nope, rope = in.shape.rope, value = in.shape.value;
        Real* dk = dkv.row(tj) + h * (nope + value);
        Real* dv = dk + nope;
        Real* dpe = heads_dk_pe.row(tj) + h * rope;
        for (std::int64_t k = 0; k < nope + value; ++k) dk[k] = 0;
        for (std::int64_t k = 0; k < rope; ++k) dpe[k] = 0;
        for (std::int64_t ti = tj; ti < place.first + in.shape.rows; ++ti) {
          const Real e = probability(in.score(ti, tj, h), gradient.m(ti, h));
          const Real ds = e * gradient.row_term(in, ti, tj, h);
          const Real r = Real(1) / gradient.l(ti, h);
          const Real* query = in.query(ti, h);
          const Real* dout = gradient.dout.row(ti) + h * value;
          for (std::int64_t k = 0; k < nope; ++k) dk[k] = fused(ds, query[k], dk[k]);
          for (std::int64_t k = 0; k < rope; ++k) dpe[k] = fused(ds, query[nope + k], dpe[k]);
          for (std::int64_t d = 0; d < value; ++d) dv[d] = fused(e, r * dout[d], dv[d]);
        }
        for (std::int64_t k = 0; k < nope + value; ++k) dk[k] += Real(0);
        for (std::int64_t k = 0; k < rope; ++k) dpe[k] += Real(0);
      });
}

}  // namespace

template <class Real>
std::int64_t attention_workspace(const AttentionShape& shape) {
  // delta (T, H) and the heads' dk_pe (T, H rope)
  return shape.sequences * shape.rows * shape.heads * (1 + shape.rope) *
         static_cast<std::int64_t>(sizeof(Real));
}

template <class Real>
void attention_forward(const ExecSpace& exec, const AttentionShape& shape, Matrix<const Real> q,
                       Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<Real> m,
                       Matrix<Real> l, Matrix<Real> o) {
  static const std::string label = "moray::attention::forward";
  const Operands<Real> in{shape, q, kv, k_pe};
  const std::int64_t count = shape.sequences * shape.heads * shape.rows;
  parallel_for(
      label, exec, count, KOKKOS_LAMBDA(std::int64_t index) {
        const Place place = place_of(shape, index);
        const std::int64_t h = place.head, ti = place.first + place.row;
        Real maximum = -std::numeric_limits<Real>::infinity();
        for (std::int64_t tj = place.first; tj <= ti; ++tj) {
          const Real s = in.score(ti, tj, h);
          maximum = s > maximum ? s : maximum;
        }
        Real* out = o.row(ti) + h * shape.value;
        for (std::int64_t d = 0; d < shape.value; ++d) out[d] = 0;
        // The reduction visits its terms in increasing j, so the chains of o grow beside it.
        const Real sum = row_sum<Real>(place.row + 1, [&](std::int64_t j) {
          const Real e = probability(in.score(ti, place.first + j, h), maximum);
          const Real* v = in.value(place.first + j, h);
          for (std::int64_t d = 0; d < shape.value; ++d) out[d] = fused(e, v[d], out[d]);
          return e;
        });
        m(ti, h) = maximum;
        l(ti, h) = sum;
        const Real r = Real(1) / sum;
        for (std::int64_t d = 0; d < shape.value; ++d) out[d] = r * (out[d] + Real(0));
      });
}

template <class Real>
void attention_backward(const ExecSpace& exec, const AttentionShape& shape, Real scale,
                        Matrix<const Real> dout, Matrix<const Real> o, Matrix<const Real> q,
                        Matrix<const Real> kv, Matrix<const Real> k_pe, Matrix<const Real> m,
                        Matrix<const Real> l, Vector<std::byte> workspace, Matrix<Real> dq,
                        Matrix<Real> dkv, Matrix<Real> dk_pe) {
  const std::int64_t tokens = shape.sequences * shape.rows;
  Real* memory = reinterpret_cast<Real*>(workspace.data);
  const Matrix<Real> delta = matrix(memory, tokens, shape.heads);
  const Matrix<Real> heads_dk_pe =
      matrix(memory + tokens * shape.heads, tokens, shape.heads * shape.rope);
  const Operands<Real> in{shape, q, kv, k_pe};
  const QueryGradient<Real> gradient{dout, m, l, delta};
  compute_delta<Real>(exec, shape, dout, o, l, delta);
  query_gradients<Real>(exec, scale, in, gradient, dq);
  key_gradients<Real>(exec, in, gradient, dkv, heads_dk_pe);
  add_heads<Real>(exec, shape.heads, heads_dk_pe, dk_pe);
}

template <class Real>
void add_heads(const ExecSpace& exec, std::int64_t heads, Matrix<const Real> parts,
               Matrix<Real> out) {
  static const std::string label = "moray::attention::dk_pe";
  parallel_for(
      label, exec, out.rows * out.cols, KOKKOS_LAMBDA(std::int64_t index) {
        const std::int64_t t = index / out.cols;
        const std::int64_t k = index % out.cols;
        Real sum = parts(t, k);
        for (std::int64_t h = 1; h < heads; ++h) sum = sum + parts(t, h * out.cols + k);
        out(t, k) = sum;
      });
}

#define MORAY_INSTANTIATE(Real)                                                                \
  template std::int64_t attention_workspace<Real>(const AttentionShape&);                      \
  template void attention_forward(const ExecSpace&, const AttentionShape&, Matrix<const Real>, \
                                  Matrix<const Real>, Matrix<const Real>, Matrix<Real>,        \
                                  Matrix<Real>, Matrix<Real>);                                 \
  template void attention_backward(                                                            \
      const ExecSpace&, const AttentionShape&, Real, Matrix<const Real>, Matrix<const Real>,   \
      Matrix<const Real>, Matrix<const Real>, Matrix<const Real>, Matrix<const Real>,          \
      Matrix<const Real>, Vector<std::byte>, Matrix<Real>, Matrix<Real>, Matrix<Real>);        \
  template void add_heads(const ExecSpace&, std::int64_t, Matrix<const Real>, Matrix<Real>);
MORAY_INSTANTIATE(float)
MORAY_INSTANTIATE(double)
#undef MORAY_INSTANTIATE

}  // namespace moray::portable
