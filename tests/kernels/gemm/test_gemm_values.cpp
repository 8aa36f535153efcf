// Values whose bits a fast kernel is likely to lose: signed zeros, denormals, infinities.
#include <bit>
#include <cstring>
#include <limits>

#include "catch.hpp"
#include "kernels/variants.hpp"
#include "plain_gemm.hpp"

using namespace moray;
using test::plain_gemm;
using test::Product;

namespace {

template <class Check>
void for_exact_variants(const Check& check) {
  for (const Variant variant : available_variants(Op::gemm)) {
    if (!is_exact(variant)) continue;
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) check(form);
  }
  reset_variants();
}

void run(GemmForm form, const GemmTask<float>& task) {
  const ExecSpace exec;
  gemm<float>(exec, form, {&task, 1});
  fence(exec, "gemm test");
}

bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("a chain that ends in -0 by underflow returns +0", "[gemm]") {
  for_exact_variants([](GemmForm form) {
    std::mt19937 random(1);
    Product<float> p(form, 15, 37, 2, 0, random);
    // fma(-2^-100, 2^-100, +0) rounds -2^-200 to -0: without c + 0 the sign would stay.
    std::fill(p.a.begin(), p.a.end(), -0x1p-100f);
    std::fill(p.b.begin(), p.b.end(), 0x1p-100f);
    std::fill(p.c.begin(), p.c.end(), -0.0f);
    p.expected = p.c;
    run(form, p.on(p.c));
    for (const float c : p.c) REQUIRE(std::bit_cast<std::uint32_t>(c) == 0);
    plain_gemm(form, p.on(p.expected));
    CHECK(same_bits(p.c, p.expected));
  });
}

TEST_CASE("denormals are kept", "[gemm]") {
  for_exact_variants([](GemmForm form) {
    std::mt19937 random(2);
    Product<float> p(form, 14, 35, 40, 1, random);
    for (float& a : p.a) a *= 0x1p-75f;
    for (float& b : p.b) b *= 0x1p-66f;
    for (float& c : p.c) c *= 0x1p-140f;
    p.expected = p.c;
    run(form, p.on(p.c));
    plain_gemm(form, p.on(p.expected));
    int denormal = 0;
    for (const float c : p.c) denormal += std::fpclassify(c) == FP_SUBNORMAL ? 1 : 0;
    CHECK(denormal > 400);
    CHECK(same_bits(p.c, p.expected));
  });
}

TEST_CASE("the weight gradient's chain starts from what is there", "[gemm]") {
  for_exact_variants([](GemmForm form) {
    if (form != GemmForm::tn) return;
    std::mt19937 random(3);
    // Two calls over halves of k are the chain over all of k.
    Product<float> p(form, 50, 75, 301, 0, random);
    std::vector<float> halves = p.c;
    run(form, p.on(p.c));
    GemmTask<float> first = p.on(halves);
    first.k = 134;
    run(form, first);
    GemmTask<float> second = p.on(halves);
    second.a += first.k * second.lda;
    second.b += first.k * second.ldb;
    second.k -= first.k;
    run(form, second);
    CHECK(same_bits(p.c, halves));
    plain_gemm(form, p.on(p.expected));
    CHECK(same_bits(p.c, p.expected));
  });
}

TEST_CASE("infinities and NaN stay in their row and column", "[gemm]") {
  for_exact_variants([](GemmForm form) {
    if (form != GemmForm::nt) return;
    std::mt19937 random(4);
    Product<float> p(form, 29, 43, 18, 0, random);
    p.a[static_cast<std::size_t>(28 * p.task.lda + 17)] = std::numeric_limits<float>::infinity();
    p.b[static_cast<std::size_t>(42 * p.task.ldb)] = std::numeric_limits<float>::quiet_NaN();
    run(form, p.on(p.c));
    for (std::int64_t i = 0; i < 29; ++i) {
      for (std::int64_t j = 0; j < 43; ++j) {
        const float c = p.c[static_cast<std::size_t>(i * p.task.ldc + j)];
        REQUIRE(std::isfinite(c) == (i != 28 && j != 42));
      }
    }
  });
}
