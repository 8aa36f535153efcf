#include <cstring>

#include "catch.hpp"
#include "kernels/variants.hpp"
#include "plain_gemm.hpp"

using namespace moray;
using test::plain_gemm;
using test::Product;

namespace {

constexpr std::int64_t kExtents[] = {0,  1,  2,  3,  5,  7,  8,  11, 12, 13,  14,  16, 17,
                                     24, 31, 32, 33, 47, 48, 49, 64, 65, 100, 257, 300};
constexpr GemmForm kForms[] = {GemmForm::nt, GemmForm::nn, GemmForm::tn};

std::vector<Variant> exact_variants() {
  std::vector<Variant> exact;
  for (const Variant variant : available_variants(Op::gemm)) {
    if (is_exact(variant)) exact.push_back(variant);
  }
  return exact;
}

template <class Real>
bool same_bits(const std::vector<Real>& x, const std::vector<Real>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(Real)) == 0;
}

/// Runs the products as one launch and compares each with the definition.
template <class Real>
void check(GemmForm form, std::vector<Product<Real>>& products) {
  std::vector<GemmTask<Real>> tasks;
  for (Product<Real>& p : products) tasks.push_back(p.on(p.c));
  const ExecSpace exec;
  gemm<Real>(exec, form, tasks);
  fence(exec, "gemm test");
  for (Product<Real>& p : products) {
    plain_gemm(form, p.on(p.expected));
    INFO("form " << static_cast<int>(form) << " m " << p.task.m << " n " << p.task.n << " k "
                 << p.task.k << " lda " << p.task.lda);
    CHECK(same_bits(p.c, p.expected));
  }
}

std::int64_t sample(std::mt19937& random) {
  return kExtents[std::uniform_int_distribution<std::size_t>(0, std::size(kExtents) - 1)(random)];
}

template <class Real>
void check_sampled_shapes(int count, unsigned seed) {
  std::mt19937 random(seed);
  for (const GemmForm form : kForms) {
    for (int i = 0; i < count; ++i) {
      std::vector<Product<Real>> one;
      const std::int64_t m = sample(random), n = sample(random), k = sample(random);
      one.emplace_back(form, m, n, k, i % 3 == 0 ? 0 : i % 7, random);
      check(form, one);
    }
  }
}

}  // namespace

TEST_CASE("every exact variant equals the plain chain over odd shapes", "[gemm]") {
  for (const Variant variant : exact_variants()) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    check_sampled_shapes<float>(250, 1);
  }
  reset_variants();
  check_sampled_shapes<double>(60, 2);
}

TEST_CASE("every exact variant equals the plain chain over all odd shapes", "[gemm][long]") {
  std::mt19937 random(3);
  for (const Variant variant : exact_variants()) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : kForms) {
      for (const std::int64_t m : kExtents) {
        for (const std::int64_t n : kExtents) {
          std::vector<Product<float>> all_depths;
          for (const std::int64_t k : kExtents)
            all_depths.emplace_back(form, m, n, k, k % 5, random);
          check(form, all_depths);
        }
      }
    }
  }
  reset_variants();
}

TEST_CASE("products deeper and wider than any block of a kernel", "[gemm]") {
  std::mt19937 random(4);
  for (const Variant variant : exact_variants()) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : kForms) {
      std::vector<Product<float>> products;
      products.emplace_back(form, 19, 37, 2113, 3, random);
      products.emplace_back(form, 700, 45, 70, 0, random);
      products.emplace_back(form, 13, 1601, 33, 1, random);
      products.emplace_back(form, 1, 530, 520, 0, random);
      products.emplace_back(form, 4, 130, 1029, 0, random);
      check(form, products);
      // More than the workspace holds: cut by columns, and by steps of k.
      std::vector<Product<float>> large;
      large.emplace_back(form, 3, 2100, 1000, 0, random);
      large.emplace_back(form, 2, 40, 50000, 0, random);
      check(form, large);
    }
  }
  reset_variants();
}

TEST_CASE("many products in one launch, empty ones among them", "[gemm]") {
  std::mt19937 random(5);
  for (const Variant variant : exact_variants()) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : kForms) {
      std::vector<Product<float>> products;
      for (int i = 0; i < 40; ++i) {
        const std::int64_t rows = i % 9 == 4 ? 0 : sample(random) % 70;
        if (form == GemmForm::tn) {
          products.emplace_back(form, 33, 70, rows, 0, random);
        } else {
          products.emplace_back(form, rows, 70, 33, 0, random);
        }
      }
      check(form, products);
      std::vector<Product<float>> none;
      check(form, none);
    }
  }
  reset_variants();
}

TEST_CASE("a row's bits do not depend on the rows beside it", "[gemm]") {
  std::mt19937 random(6);
  for (const Variant variant : exact_variants()) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn}) {
      Product<float> whole(form, 61, 83, 129, 0, random);
      std::vector<float> parts(whole.c.size());
      const GemmTask<float> t = whole.on(whole.c);
      std::vector<GemmTask<float>> tasks;
      for (std::int64_t i = 0, rows = 1; i < t.m; i += rows++) {
        GemmTask<float> part = t;
        part.m = std::min(rows, t.m - i);
        part.a += i * t.lda;
        part.c = parts.data() + i * t.ldc;
        tasks.push_back(part);
      }
      const ExecSpace exec;
      gemm<float>(exec, form, {&t, 1});
      gemm<float>(exec, form, tasks);
      fence(exec, "gemm test");
      CHECK(same_bits(whole.c, parts));
    }
  }
  reset_variants();
}
