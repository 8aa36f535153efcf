// docs/numerics.md section 5 as it reads, with whole S x S matrices and no thought of speed.
#include <cmath>
#include <limits>

#include "kernels/attention/problem.hpp"
#include "kernels/functions/functions.hpp"

namespace moray::test {
namespace {

template <class Real>
Real fold(Real (&chain)[16]) {
  for (int step = 8; step >= 1; step /= 2) {
    for (int i = 0; i < step; ++i) chain[i] = chain[i] + chain[i + step];
  }
  return chain[0];
}

/// One head of one sequence: rows are gathered, so that the formulas read like the text.
template <class Real>
struct Head {
  using Rows = std::vector<std::vector<Real>>;
  Rows q, k, v;  // (S, nope + rope), (S, nope + rope), (S, value)

  Head(Problem<Real>& p, std::int64_t b, std::int64_t h) {
    const AttentionShape& s = p.shape;
    const auto q_all = p.host_view(p.q, p.q_cols());
    const auto kv_all = p.host_view(p.kv, p.kv_cols());
    const auto pe_all = p.host_view(p.k_pe, s.rope);
    for (std::int64_t t = b * s.rows; t < (b + 1) * s.rows; ++t) {
      const Real* q_row = q_all.row(t) + h * (s.nope + s.rope);
      const Real* kv_row = kv_all.row(t) + h * (s.nope + s.value);
      q.emplace_back(q_row, q_row + s.nope + s.rope);
      k.emplace_back(kv_row, kv_row + s.nope);
      k.back().insert(k.back().end(), pe_all.row(t), pe_all.row(t) + s.rope);
      v.emplace_back(kv_row + s.nope, kv_row + s.nope + s.value);
    }
  }

  Real dot(const std::vector<Real>& a, const std::vector<Real>& b) const {
    Real c = 0;
    for (std::size_t i = 0; i < a.size(); ++i) c = std::fma(a[i], b[i], c);
    return c + Real(0);
  }
  Real e(std::size_t i, std::size_t j, Real m) const {
    const Real d = dot(q[i], k[j]) - m;
    return d < Real(-40) ? Real(0) : exp_exact(d);
  }
};

}  // namespace

template <class Real>
void Problem<Real>::plain_forward() {
  const auto m_out = host_view(m, shape.heads), l_out = host_view(l, shape.heads);
  const auto o_out = host_view(o, o_cols());
  for (std::int64_t block = 0; block < shape.sequences * shape.heads; ++block) {
    const std::int64_t b = block / shape.heads, h = block % shape.heads;
    const Head<Real> head(*this, b, h);
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      const std::int64_t t = b * shape.rows + i;
      Real maximum = -std::numeric_limits<Real>::infinity();
      for (std::int64_t j = 0; j <= i; ++j)
        maximum = std::max(maximum, head.dot(head.q[i], head.k[j]));
      Real chain[16] = {};
      for (std::int64_t j = 0; j <= i; ++j) chain[j % 16] = chain[j % 16] + head.e(i, j, maximum);
      m_out(t, h) = maximum;
      l_out(t, h) = fold(chain);
      for (std::int64_t d = 0; d < shape.value; ++d) {
        Real c = 0;
        for (std::int64_t j = 0; j <= i; ++j) c = std::fma(head.e(i, j, maximum), head.v[j][d], c);
        o_out(t, h * shape.value + d) = (Real(1) / l_out(t, h)) * (c + Real(0));
      }
    }
  }
}

template <class Real>
void Problem<Real>::plain_backward() {
  const auto m_in = host_view(m, shape.heads), l_in = host_view(l, shape.heads);
  const auto o_in = host_view(o, o_cols()), dout_in = host_view(dout, o_cols());
  const auto dq_out = host_view(dq, q_cols()), dkv_out = host_view(dkv, kv_cols());
  const auto dk_pe_out = host_view(dk_pe, shape.rope);
  const std::int64_t width = shape.nope + shape.rope;
  for (std::int64_t block = 0; block < shape.sequences * shape.heads; ++block) {
    const std::int64_t b = block / shape.heads, h = block % shape.heads, S = shape.rows;
    const std::int64_t first = b * S;
    const Head<Real> head(*this, b, h);
    typename Head<Real>::Rows u, e(S, std::vector<Real>(S)), ds(S, std::vector<Real>(S));
    for (std::int64_t i = 0; i < S; ++i) {
      const Real r = Real(1) / l_in(first + i, h);
      Real chain[16] = {};
      u.emplace_back();
      for (std::int64_t d = 0; d < shape.value; ++d) {
        u[i].push_back(r * dout_in(first + i, h * shape.value + d));
        chain[d % 16] = std::fma(u[i][d], o_in(first + i, h * shape.value + d), chain[d % 16]);
      }
      const Real delta = fold(chain);
      for (std::int64_t j = 0; j <= i; ++j) {
        e[i][j] = head.e(i, j, m_in(first + i, h));
        ds[i][j] = e[i][j] * (head.dot(u[i], head.v[j]) - delta);
      }
      for (std::int64_t c = 0; c < width; ++c) {
        Real sum = 0;
        for (std::int64_t j = 0; j <= i; ++j) sum = std::fma(ds[i][j], head.k[j][c], sum);
        dq_out(first + i, h * width + c) = scale * (sum + Real(0));
      }
    }
    for (std::int64_t j = 0; j < S; ++j) {
      for (std::int64_t c = 0; c < width; ++c) {
        Real sum = 0;
        for (std::int64_t i = j; i < S; ++i) sum = std::fma(ds[i][j], head.q[i][c], sum);
        sum = sum + Real(0);
        if (c < shape.nope) {
          dkv_out(first + j, h * (shape.nope + shape.value) + c) = sum;
        } else {
          Real& out = dk_pe_out(first + j, c - shape.nope);
          out = h == 0 ? sum : out + sum;
        }
      }
      for (std::int64_t d = 0; d < shape.value; ++d) {
        Real sum = 0;
        for (std::int64_t i = j; i < S; ++i) sum = std::fma(e[i][j], u[i][d], sum);
        dkv_out(first + j, h * (shape.nope + shape.value) + shape.nope + d) = sum + Real(0);
      }
    }
  }
}

template struct Problem<float>;
template struct Problem<double>;

}  // namespace moray::test
