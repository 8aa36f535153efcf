#include <xxhash.h>

#include <algorithm>

#include "catch.hpp"
#include "kernels/attention/attention_host_sizes.hpp"
#include "kernels/attention/problem.hpp"
#include "kernels/host/host_kernels.hpp"
#include "kernels/variants.hpp"

using namespace moray;
using moray::test::Buffer;
using moray::test::Problem;

namespace {

const std::vector<AttentionShape> kShapes = {
    // sequences, rows, heads, nope, rope, value
    {1, 1, 1, 16, 8, 16},   {2, 2, 3, 32, 16, 32},    {1, 15, 2, 48, 16, 40},
    {2, 16, 1, 64, 32, 64}, {1, 17, 3, 128, 64, 128}, {1, 33, 2, 32, 16, 32},
    {2, 100, 2, 5, 2, 3},   {1, 100, 1, 128, 64, 17}, {1, 5, 1, 7, 0, 1},
};

template <class Real>
bool same_bits(const std::vector<Real>& a, const std::vector<Real>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Real)) == 0;
}

/// Compares a run with the plain definition, padding included.
template <class Real>
void check_problem(const AttentionShape& shape, double spread) {
  Problem<Real> run(shape, spread), plain(shape, spread);
  run.forward();
  plain.plain_forward();
  CHECK(same_bits(run.m.host, plain.m.host));
  CHECK(same_bits(run.l.host, plain.l.host));
  CHECK(same_bits(run.o.host, plain.o.host));
  run.backward();
  plain.plain_backward();
  CHECK(same_bits(run.dq.host, plain.dq.host));
  CHECK(same_bits(run.dkv.host, plain.dkv.host));
  CHECK(same_bits(run.dk_pe.host, plain.dk_pe.host));
}

template <class Real>
std::uint64_t digest(const std::vector<Real>& x) {
  return XXH3_64bits(x.data(), x.size() * sizeof(Real));
}

}  // namespace

TEST_CASE("every variant of attention has the bits of its definition", "[attention]") {
  for (const Variant variant : available_variants(Op::attention)) {
    if (!is_exact(variant)) continue;
    force_variant(Op::attention, variant);
    for (const AttentionShape& shape : kShapes) {
      for (const double spread : {1.0, 20.0}) {
        CAPTURE(variant_name(variant), shape.sequences, shape.rows, shape.heads, shape.nope,
                shape.rope, shape.value, spread);
        check_problem<float>(shape, spread);
      }
    }
  }
  reset_variants();
}

TEST_CASE("float64 attention has the bits of its definition", "[attention]") {
  for (const AttentionShape& shape : kShapes) {
    CAPTURE(shape.sequences, shape.rows, shape.heads, shape.nope, shape.rope, shape.value);
    check_problem<double>(shape, 20);
  }
}

TEST_CASE("variants agree on sequences of several blocks of keys", "[attention]") {
  const std::vector<AttentionShape> shapes = {{2, 256, 2, 32, 16, 32},
                                              {1, 257, 1, 96, 64, 64},
                                              {1, 611, 2, 20, 12, 33},
                                              {1, 300, 1, 400, 8, 410}};
  for (const AttentionShape& shape : shapes) {
    CAPTURE(shape.rows, shape.nope, shape.value);
    force_variant(Op::attention, Variant::portable);
    Problem<float> portable(shape, 8);
    portable.forward();
    portable.backward();
    for (const Variant variant : available_variants(Op::attention)) {
      if (!is_exact(variant) || variant == Variant::portable) continue;
      CAPTURE(variant_name(variant));
      force_variant(Op::attention, variant);
      Problem<float> run(shape, 8);
      run.forward();
      run.backward();
      CHECK(same_bits(run.m.host, portable.m.host));
      CHECK(same_bits(run.l.host, portable.l.host));
      CHECK(same_bits(run.o.host, portable.o.host));
      CHECK(same_bits(run.dq.host, portable.dq.host));
      CHECK(same_bits(run.dkv.host, portable.dkv.host));
      CHECK(same_bits(run.dk_pe.host, portable.dk_pe.host));
    }
  }
  reset_variants();
}

TEST_CASE("a host head may be computed in parts", "[attention]") {
  const AttentionShape shape = {1, 300, 1, 32, 16, 32};
  for (const Variant variant : available_variants(Op::attention)) {
    const HostKernels* host = host_kernels(variant);
    if (host == nullptr) continue;
    CAPTURE(variant_name(variant));
    force_variant(Op::attention, variant);
    Problem<float> whole(shape, 8), parts(shape, 8);
    whole.forward();
    const auto q = parts.view(parts.q, parts.q_cols()), kv = parts.view(parts.kv, parts.kv_cols());
    const auto k_pe = parts.view(parts.k_pe, shape.rope), o = parts.view(parts.o, parts.o_cols());
    const auto m = parts.view(parts.m, 1), l = parts.view(parts.l, 1);
    const AttentionHead head = {300,     32,           16,        32,        q.data,     q.stride,
                                kv.data, kv.data + 32, kv.stride, k_pe.data, k_pe.stride};
    const AttentionOutput out = {m.data, l.data, m.stride, l.stride, o.data, o.stride};
    const std::vector<long> ends = {0, 37, 111, 256, 300};
    for (std::size_t i = 1; i < ends.size(); ++i) {
      Buffer<float> scratch;
      scratch.resize(forward_scratch(300, 32, 16, 32));
      host->attention->forward(head, ends[i - 1], ends[i], out, scratch.device.data());
    }
    for (Buffer<float>* x : {&parts.m, &parts.l, &parts.o}) x->download();
    CHECK(same_bits(parts.m.host, whole.m.host));
    CHECK(same_bits(parts.l.host, whole.l.host));
    CHECK(same_bits(parts.o.host, whole.o.host));
  }
  reset_variants();
}

TEST_CASE("probabilities more than 40 below the maximum are +0, at exactly 40 they are not",
          "[attention]") {
  // One query of 1 against keys whose scores are their only element; the last one is the maximum.
  const std::vector<float> keys = {-100.0f, -0x1p-18f, 0.0f, 40.0f};
  Problem<float> p({1, 4, 1, 1, 0, 1}, 1);
  const auto q = p.host_view(p.q, 1), kv = p.host_view(p.kv, 2);
  for (int j = 0; j < 4; ++j) {
    q(j, 0) = 1;
    kv(j, 0) = keys[j];
    kv(j, 1) = j == 2 ? 1.0f : 0.0f;
  }
  p.q.upload();
  p.kv.upload();
  p.forward();
  const auto m = p.host_view(p.m, 1), l = p.host_view(p.l, 1), o = p.host_view(p.o, 1);
  CHECK(m(3, 0) == 40.0f);
  CHECK(l(3, 0) == 1.0f);
  CHECK(o(3, 0) == 0x1.397924p-58f);  // exp(-40) correctly rounded: the key at distance 40 counts
  kv(2, 0) = -0x1p-18f;               // now it is further away than 40
  p.kv.upload();
  p.forward();
  CHECK(p.host_view(p.o, 1)(3, 0) == 0.0f);
}

TEST_CASE("golden bits of attention", "[attention][golden]") {
  struct Golden {
    AttentionShape shape;
    double spread;    // of the queries
    double distance;  // some score must be at least this far below its row's maximum
    std::uint64_t m, l, o, dq, dkv, dk_pe;
  };
  const Golden goldens[] = {
      {{2, 40, 3, 32, 16, 32},
       1,
       5,
       0x895e6ba0a526fb71u,
       0x7c4112369349cb89u,
       0x154b31e45fb11072u,
       0x86f14a5488bb5e66u,
       0x699309e3f60b083du,
       0x5d3ab4fe5e5a88d6u},
      {{2, 40, 3, 32, 16, 32},
       12,
       40,
       0x573db992c4b169c6u,
       0x237795fc22ef4732u,
       0x7e3553cc1335a00cu,
       0xd9394433a0446f6du,
       0x2839a339c1237c18u,
       0x37705296e76cb98bu},
      {{2, 40, 3, 32, 16, 32},
       32,
       88,
       0x6fae5f94e4671a99u,
       0x115dd6ad68876a8bu,
       0x8b9a5f792964a8ceu,
       0x2722922f81d1df86u,
       0xa1a9e034c6f1267bu,
       0x6217fe29c97ecf79u},
  };
  for (const Golden& golden : goldens) {
    CAPTURE(golden.spread);
    Problem<float> p(golden.shape, golden.spread);
    p.forward();
    p.backward();
    // The probabilities of the least likely keys: from the scores of the first head's last row.
    const auto q = p.host_view(p.q, p.q_cols()), kv = p.host_view(p.kv, p.kv_cols());
    const auto pe = p.host_view(p.k_pe, golden.shape.rope);
    double lowest = 0, highest = 0;
    for (int j = 0; j < 40; ++j) {
      double s = 0;
      for (int k = 0; k < 32; ++k) s += double(q(39, k)) * kv(j, k);
      for (int k = 0; k < 16; ++k) s += double(q(39, 32 + k)) * pe(j, k);
      lowest = std::min(lowest, s);
      highest = std::max(highest, s);
    }
    CHECK(highest - lowest > golden.distance);
    CHECK(digest(p.m.host) == golden.m);
    CHECK(digest(p.l.host) == golden.l);
    CHECK(digest(p.o.host) == golden.o);
    CHECK(digest(p.dq.host) == golden.dq);
    CHECK(digest(p.dkv.host) == golden.dkv);
    CHECK(digest(p.dk_pe.host) == golden.dk_pe);
  }
}
