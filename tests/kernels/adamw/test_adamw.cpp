#include "kernels/adamw/adamw.hpp"

#include "catch.hpp"
#include "core/bf16.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

const AdamwStep kStep = {.k = 0.37F,
                         .beta1 = 0.9F,
                         .one_minus_beta1 = 0.1F,
                         .beta2 = 0.95F,
                         .one_minus_beta2 = 0.05F,
                         .correction1 = 2.4F,
                         .correction2 = 5.1F,
                         .learning_rate = 1e-3F,
                         .decay = 0.9999F,
                         .eps = 1e-8F};

float stored(float value, float) {
  return value;
}
float stored(std::uint16_t bits, float) {
  return bf16_decode(bits);
}
void keep(float value, float& place) {
  place = value;
}
void keep(float value, std::uint16_t& place) {
  place = bf16_encode(value);
}

/// The definition (docs/numerics.md section 8) for one element.
template <class Moment>
void plain_update(const AdamwStep& step, float gradient, Moment& m, Moment& v, float& w) {
  float g = step.k * gradient;
  if (std::abs(g) < std::ldexp(1.0F, -54)) g = 0;
  float new_m = std::fma(step.beta1, stored(m, 0), step.one_minus_beta1 * g);
  if (std::abs(new_m) < std::ldexp(1.0F, -100)) new_m = 0;
  const float scaled = step.one_minus_beta2 * g;
  float new_v = std::fma(step.beta2, stored(v, 0), scaled * g);
  if (new_v < std::ldexp(1.0F, -120)) new_v = 0;
  keep(new_m, m);
  keep(new_v, v);
  const float root = std::sqrt(stored(v, 0) * step.correction2);
  const float direction = (stored(m, 0) * step.correction1) / (root + step.eps);
  const float decayed = step.decay == 1.0F ? w : w * step.decay;
  w = std::fma(-step.learning_rate, direction, decayed);
}

/// Gradients and moments of very different sizes, so that thresholds are crossed on the way.
Tensor<float> wide(std::int64_t size, std::mt19937& random) {
  auto x = vector_tensor<float>(size).fill(random);
  for (std::int64_t i = 0; i < size; ++i) {
    if (random() % 3 == 0) x[i] *= std::ldexp(1.0F, -static_cast<int>(random() % 126));
  }
  return x;
}

template <class Moment>
Tensor<Moment> moments(std::int64_t size, bool positive, std::mt19937& random) {
  auto values = wide(size, random);
  auto x = vector_tensor<Moment>(size);
  for (std::int64_t i = 0; i < size; ++i) {
    keep(positive ? std::abs(values[i]) : values[i], x[i]);
  }
  return x;
}

template <class Moment>
void check(const AdamwStep& step, std::int64_t size) {
  INFO("size " << size << ", bytes of a moment " << sizeof(Moment) << ", decay " << step.decay);
  const ExecSpace exec;
  std::mt19937 random(1);
  auto gradient = wide(size, random);
  auto m = moments<Moment>(size, false, random);
  auto v = moments<Moment>(size, true, random);
  auto w = vector_tensor<float>(size).fill(random);
  auto expected_m = m, expected_v = v;
  auto expected_w = w;
  for (std::int64_t i = 0; i < size; ++i) {
    plain_update(step, gradient[i], expected_m[i], expected_v[i], expected_w[i]);
  }
  adamw_update(exec, step, gradient.device_vector(), m.device_vector(), v.device_vector(),
               w.device_vector());
  finish(exec);
  m.fetch();
  v.fetch();
  w.fetch();
  CHECK(m.same_bits(expected_m));
  CHECK(v.same_bits(expected_v));
  CHECK(w.same_bits(expected_w));
}

}  // namespace

TEST_CASE("adamw is the definition", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    for (const float decay : {1.0F, 0.9999F}) {
      AdamwStep step = kStep;
      step.decay = decay;
      for (const std::int64_t size : {0, 1, 7, 15, 16, 17, 33, 4095, 4097, 9000}) {
        check<float>(step, size);
        check<std::uint16_t>(step, size);
      }
    }
  });
}

TEST_CASE("ema is the definition", "[adamw]") {
  const ExecSpace exec;
  for_each_variant(Op::adamw, [&] {
    for (const std::int64_t size : {0, 1, 15, 17, 4097}) {
      std::mt19937 random(2);
      auto w = vector_tensor<float>(size).fill(random);
      auto ema = vector_tensor<float>(size).fill(random);
      auto expected = ema;
      for (std::int64_t i = 0; i < size; ++i) {
        expected[i] = std::fma(0.01F, w[i] - expected[i], expected[i]);
      }
      ema_update(exec, 0.01F, w.device_vector(), ema.device_vector());
      finish(exec);
      ema.fetch();
      CHECK(ema.same_bits(expected));
    }
  });
}
