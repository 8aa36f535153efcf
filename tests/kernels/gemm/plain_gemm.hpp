#pragma once

/// The definition of a product (docs/numerics.md section 2) in plain scalar code, and operands for
/// it: what every exact variant must equal by memcmp.

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/gemm/gemm.hpp"

namespace moray::test {

template <class Real>
void plain_gemm(GemmForm form, const GemmTask<Real>& t) {
  for (std::int64_t i = 0; i < t.m; ++i) {
    for (std::int64_t j = 0; j < t.n; ++j) {
      Real& c = t.c[i * t.ldc + j];
      if (form == GemmForm::tn && t.k == 0) continue;
      Real sum = form == GemmForm::tn ? c : Real(0);
      for (std::int64_t l = 0; l < t.k; ++l) {
        const Real a = form == GemmForm::tn ? t.a[l * t.lda + i] : t.a[i * t.lda + l];
        const Real b = form == GemmForm::nt ? t.b[j * t.ldb + l] : t.b[l * t.ldb + j];
        sum = std::fma(a, b, sum);
      }
      c = sum + Real(0);
    }
  }
}

/// One product with its own storage, rows longer than needed; c is computed twice, by the variant
/// and by the definition, from the same start. Gaps between rows must stay as they were.
template <class Real>
struct Product {
  Product(GemmForm form, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t gap,
          std::mt19937& random) {
    const bool tn = form == GemmForm::tn;
    const bool nt = form == GemmForm::nt;
    task.m = m;
    task.n = n;
    task.k = k;
    task.lda = (tn ? m : k) + gap;
    task.ldb = (nt ? k : n) + gap;
    task.ldc = n + gap;
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<Real>& x, std::int64_t size) {
      x.resize(static_cast<std::size_t>(size));
      for (Real& value : x) value = static_cast<Real>(normal(random));
    };
    fill(a, (tn ? k : m) * task.lda);
    fill(b, (nt ? n : k) * task.ldb);
    fill(c, m * task.ldc);
    expected = c;
  }

  GemmTask<Real> on(std::vector<Real>& result) {
    GemmTask<Real> t = task;
    t.a = a.data();
    t.b = b.data();
    t.c = result.data();
    return t;
  }

  GemmTask<Real> task;
  std::vector<Real> a, b, c, expected;
};

}  // namespace moray::test
