// The vectors of every instruction set against the scalar definition, bit by bit.
#include <cstdint>
#include <cstring>
#include <vector>

#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/functions/probes.hpp"
#include "kernels/functions/row_reduction.hpp"

namespace {

using moray::float_bits;
using moray::float_of;

std::vector<const moray::VectorProbe*> probes() {
  auto all = moray::runnable_probes();
#if defined(MORAY_TEST_GENERIC_PROBE)
  all.push_back(&moray::generic::vector_probe());
#endif
  return all;
}

/// Equal bits, or both NaN: a NaN's sign and payload are not defined.
bool same(float a, float b) {
  return float_bits(a) == float_bits(b) || (a != a && b != b);
}
bool same(double a, double b) {
  return moray::double_bits(a) == moray::double_bits(b);
}

std::int64_t count_different(const std::vector<float>& a, const std::vector<float>& b) {
  std::int64_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) different += !same(a[i], b[i]);
  return different;
}

/// Every 2039th float32, and the neighbourhoods of the places where something changes. The count is
/// odd, so that partial vectors are used as well.
std::vector<float> arguments() {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 2039) {
    x.push_back(float_of(static_cast<std::uint32_t>(bits)));
  }
  const float places[] = {0.0f,          1.0f,           88.722839f,       89.0f,
                          -87.336544f,   -103.0f,        -103.97208f,      -104.0f,
                          -40.0f,        -16.6355f,      1e-38f,           1e-45f,
                          3.4028235e38f, -3.4028235e38f, moray::kInfinity, -moray::kInfinity};
  for (const float place : places) {
    for (std::uint32_t step = 0; step < 64; ++step) {
      x.push_back(float_of(float_bits(place) + step));
      x.push_back(float_of(float_bits(place) - step));
    }
  }
  if (x.size() % 2 == 0) x.push_back(-0.0f);
  return x;
}

/// Values of mixed signs and sizes, of which about one in eight is a zero.
std::vector<float> row(std::size_t n, std::uint32_t seed) {
  std::vector<float> x(n);
  for (float& value : x) {
    seed = seed * 1664525u + 1013904223u;
    const float mantissa = static_cast<float>(static_cast<std::int32_t>(seed)) * 0x1p-31f;
    value = (seed >> 8) % 8 == 0 ? 0.0f : mantissa * float_of((110u + (seed >> 3) % 16) << 23);
  }
  return x;
}

/// The definition, written without any of the code under test.
template <class Real, class Term>
Real plain_reduction(std::int64_t n, const Term& step) {
  Real c[16] = {};
  for (std::int64_t i = 0; i < n; ++i) c[i % 16] = step(i, c[i % 16]);
  for (int i = 0; i < 8; ++i) c[i] += c[i + 8];
  for (int i = 0; i < 4; ++i) c[i] += c[i + 4];
  for (int i = 0; i < 2; ++i) c[i] += c[i + 2];
  return (c[0] + c[1]) + Real(0);
}

}  // namespace

TEST_CASE("vector functions have the bits of the scalar ones") {
  const std::vector<float> x = arguments();
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<float> exp(x.size()), sigmoid(x.size()), silu(x.size()), dsilu(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    exp[i] = moray::exp_exact(x[i]);
    sigmoid[i] = moray::sigmoid_exact(x[i]);
    silu[i] = moray::silu_exact(x[i]);
    dsilu[i] = moray::dsilu_exact(x[i], sigmoid[i]);
  }
  REQUIRE(!probes().empty());
  for (const moray::VectorProbe* probe : probes()) {
    INFO(probe->isa);
    std::vector<float> y(x.size());
    probe->exp(x.data(), y.data(), n);
    CHECK(count_different(y, exp) == 0);
    probe->sigmoid(x.data(), y.data(), n);
    CHECK(count_different(y, sigmoid) == 0);
    probe->silu(x.data(), y.data(), n);
    CHECK(count_different(y, silu) == 0);
    probe->dsilu(x.data(), sigmoid.data(), y.data(), n);
    CHECK(count_different(y, dsilu) == 0);
    probe->square_root(x.data(), y.data(), n);
    std::int64_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) different += !same(y[i], __builtin_sqrtf(x[i]));
    CHECK(different == 0);
  }
}

TEST_CASE("vector arithmetic rounds once") {
  const auto a = row(4099, 1), b = row(4099, 2), c = row(4099, 3);
  for (const moray::VectorProbe* probe : probes()) {
    INFO(probe->isa);
    std::vector<float> fma(a.size()), quotient(a.size());
    probe->fma(a.data(), b.data(), c.data(), fma.data(), 4099);
    probe->divide(a.data(), b.data(), quotient.data(), 4099);
    std::int64_t different = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      different +=
          !same(fma[i], __builtin_fmaf(a[i], b[i], c[i])) + !same(quotient[i], a[i] / b[i]);
    }
    CHECK(different == 0);
  }
}

TEST_CASE("row reductions follow the 16 chains") {
  for (std::int64_t n = 0; n <= 70; ++n) {
    const auto a = row(static_cast<std::size_t>(n), 5), b = row(static_cast<std::size_t>(n), 6);
    const auto at = [](const std::vector<float>& v) {
      return [&v](std::int64_t i) { return v[static_cast<std::size_t>(i)]; };
    };
    const float products = plain_reduction<float>(
        n, [&](auto i, float s) { return __builtin_fmaf(at(a)(i), at(b)(i), s); });
    const float sum = plain_reduction<float>(n, [&](auto i, float s) { return s + at(a)(i); });
    const double squares = plain_reduction<double>(
        n, [&](auto i, double s) { return __builtin_fma(double{at(a)(i)}, double{at(a)(i)}, s); });
    INFO("n = " << n);
    CHECK(same(moray::row_product_sum<float>(n, at(a), at(b)), products));
    CHECK(same(moray::row_sum<float>(n, at(a)), sum));
    CHECK(same(moray::row_product_sum<double>(n, at(a), at(a)), squares));
    for (const moray::VectorProbe* probe : probes()) {
      INFO(probe->isa);
      CHECK(same(probe->row_product_sum(n, a.data(), b.data()), products));
      CHECK(same(probe->row_sum(n, a.data()), sum));
      CHECK(same(probe->row_sum_of_squares(n, a.data()), squares));
    }
  }
}

TEST_CASE("row reductions are never -0") {
  const std::vector<float> tiny(37, -1e-30f), huge(37, 1e-30f), negative(37, -0.0f);
  for (const moray::VectorProbe* probe : probes()) {
    INFO(probe->isa);
    CHECK(float_bits(probe->row_product_sum(37, tiny.data(), huge.data())) == 0);
    CHECK(float_bits(probe->row_sum(37, negative.data())) == 0);
  }
  const auto at = [](float v) { return [v](std::int64_t) { return v; }; };
  CHECK(float_bits(moray::row_product_sum<float>(37, at(-1e-30f), at(1e-30f))) == 0);
}

TEST_CASE("row maxima are exact, and +0 for zeros of either sign") {
  for (const moray::VectorProbe* probe : probes()) {
    INFO(probe->isa);
    for (std::int64_t n = 1; n <= 70; ++n) {
      std::vector<float> x(static_cast<std::size_t>(n));
      for (std::int64_t top = 0; top < n; ++top) {
        for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = -5.0f - float(i);
        x[static_cast<std::size_t>(top)] = -0.5f;
        CHECK(probe->row_max(n, x.data()) == -0.5f);
        CHECK(moray::row_max<float>(n, [&](auto i) { return x[static_cast<std::size_t>(i)]; }) ==
              -0.5f);
      }
    }
    const float zeros[] = {-0.0f, -0.0f, -1.0f};
    CHECK(float_bits(probe->row_max(3, zeros)) == 0);
  }
}

TEST_CASE("bf16 is rounded to nearest even, denormals kept") {
  const std::vector<float> x = arguments();
  for (const moray::VectorProbe* probe : probes()) {
    INFO(probe->isa);
    std::vector<std::uint16_t> half(x.size());
    std::vector<float> back(x.size());
    probe->to_bf16(x.data(), half.data(), static_cast<std::int64_t>(x.size()));
    probe->from_bf16(half.data(), back.data(), static_cast<std::int64_t>(x.size()));
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] != x[i]) {
        wrong += back[i] == back[i];
        continue;
      }
      wrong += float_bits(back[i]) != std::uint32_t{half[i]} << 16;
      // The neighbours in bf16, and the one that is nearer: the even one in the middle.
      const std::uint32_t below = float_bits(x[i]) >> 16, rest = float_bits(x[i]) & 0xffffu;
      const bool up = rest > 0x8000u || (rest == 0x8000u && (below & 1u) != 0);
      wrong += half[i] != below + (up ? 1u : 0u);
    }
    CHECK(wrong == 0);
  }
}
