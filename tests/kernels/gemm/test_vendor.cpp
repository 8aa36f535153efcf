// Vendor variants compute the same products within a tolerance, and are never chosen unasked.
#include "catch.hpp"
#include "kernels/variants.hpp"
#include "plain_gemm.hpp"

using namespace moray;

namespace {

std::vector<Variant> vendor_variants() {
  std::vector<Variant> vendor;
  for (const Variant variant : available_variants(Op::gemm)) {
    if (!is_exact(variant)) vendor.push_back(variant);
  }
  return vendor;
}

/// Largest |c - exact| over sum |a b|, in units of float32 rounding, for chains of any order.
double worst_error(GemmForm form, test::Product<float>& p) {
  test::Product<float> magnitude = p;
  for (float& a : magnitude.a) a = std::abs(a);
  for (float& b : magnitude.b) b = std::abs(b);
  for (float& c : magnitude.expected) c = std::abs(c);
  test::plain_gemm(form, magnitude.on(magnitude.expected));
  test::plain_gemm(form, p.on(p.expected));
  double worst = 0;
  for (std::size_t i = 0; i < p.c.size(); ++i) {
    const double scale = std::max(double(magnitude.expected[i]), 1e-30);
    worst = std::max(worst, std::abs(double(p.c[i]) - double(p.expected[i])) / scale);
  }
  return worst / 0x1p-24;
}

}  // namespace

TEST_CASE("vendor variants agree with the exact product", "[gemm][vendor]") {
  const auto variants = vendor_variants();
  if (variants.empty()) {
    WARN("SKIPPED: this build has neither BLAS nor oneDNN");
    return;
  }
  for (const Variant variant : variants) {
    force_variant(Op::gemm, variant);
    INFO("variant " << variant_name(variant));
    for (const GemmForm form : {GemmForm::nt, GemmForm::nn, GemmForm::tn}) {
      std::mt19937 random(1);
      for (const std::int64_t m : {0, 1, 7, 64, 130}) {
        for (const std::int64_t n : {0, 1, 16, 45}) {
          for (const std::int64_t k : {0, 1, 33, 500}) {
            test::Product<float> p(form, m, n, k, k % 3, random);
            const GemmTask<float> task = p.on(p.c);
            gemm<float>(ExecSpace(), form, {&task, 1});
            INFO("form " << static_cast<int>(form) << " m " << m << " n " << n << " k " << k);
            // Two sums of k + 1 terms in any order differ by at most 2 k roundings of sum |a b|.
            CHECK(worst_error(form, p) <= 2.0 * static_cast<double>(k + 1));
          }
        }
      }
    }
  }
  reset_variants();
}

TEST_CASE("vendor variants run only when asked for", "[gemm][vendor]") {
  reset_variants();
  CHECK(is_exact(selected_variant(Op::gemm)));
  prefer_vendor_variants();
  CHECK(is_exact(selected_variant(Op::gemm)) == vendor_variants().empty());
  CHECK(is_exact(selected_variant(Op::adamw)));
  reset_variants();
  CHECK(is_exact(selected_variant(Op::gemm)));
}
