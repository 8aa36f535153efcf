#include "catch.hpp"
#include "core/bf16.hpp"
#include "kernels/adamw/adamw.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

struct State {
  float gradient, m, v, w;
};

/// One update of `size` equal elements (a vector and an edge of one); all must end the same.
template <class Moment>
State update(const AdamwStep& step, State state, Moment m_value, Moment v_value) {
  const ExecSpace exec;
  constexpr std::int64_t kSize = 19;
  auto gradient = vector_tensor<float>(kSize).fill_with(state.gradient);
  auto m = vector_tensor<Moment>(kSize).fill_with(m_value);
  auto v = vector_tensor<Moment>(kSize).fill_with(v_value);
  auto w = vector_tensor<float>(kSize).fill_with(state.w);
  adamw_update(exec, step, gradient.device_vector(), m.device_vector(), v.device_vector(),
               w.device_vector());
  finish(exec);
  m.fetch();
  v.fetch();
  w.fetch();
  for (std::int64_t i = 1; i < kSize; ++i) {
    REQUIRE((m[i] == m[0] && v[i] == v[0] && w[i] == w[0]));
  }
  const auto value = [](auto stored) {
    if constexpr (std::is_same_v<decltype(stored), float>)
      return stored;
    else
      return bf16_decode(static_cast<std::uint16_t>(stored));
  };
  return {state.gradient, value(m[0]), value(v[0]), w[0]};
}
State update(const AdamwStep& step, const State& state) {
  return update<float>(step, state, state.m, state.v);
}

/// The largest float below x > 0.
float below(float x) {
  return std::nextafter(x, 0.0F);
}

/// Keeps moments as they are: what changes them is the thresholds.
AdamwStep still() {
  AdamwStep step;
  step.beta1 = step.beta2 = 1;
  step.learning_rate = 1;
  step.eps = 0x1p-50F;
  return step;
}

}  // namespace

TEST_CASE("a gradient below 2^-54 counts as +0", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    AdamwStep step = still();
    step.beta1 = 0;
    step.one_minus_beta1 = 1;  // m is g
    for (const float sign : {1.0F, -1.0F}) {
      CHECK(update(step, {sign * 0x1p-54F, 0, 1, 0}).m == sign * 0x1p-54F);
      const State small = update(step, {sign * below(0x1p-54F), 0, 1, 0});
      CHECK(small.m == 0.0F);
      CHECK(!std::signbit(small.m));
    }
    step.k = 0.5F;  // the threshold looks at k G
    CHECK(update(step, {0x1p-53F, 0, 1, 0}).m == 0x1p-54F);
    CHECK(update(step, {below(0x1p-53F), 0, 1, 0}).m == 0.0F);
  });
}

TEST_CASE("a first moment below 2^-100 counts as +0", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    for (const float sign : {1.0F, -1.0F}) {
      CHECK(update(still(), {0, sign * 0x1p-100F, 1, 0}).m == sign * 0x1p-100F);
      const State small = update(still(), {0, sign * below(0x1p-100F), 1, 1});
      CHECK(small.m == 0.0F);
      CHECK(!std::signbit(small.m));
      CHECK(small.w == 1.0F);  // before use
    }
  });
}

TEST_CASE("a second moment below 2^-120 counts as +0", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    CHECK(update(still(), {0, 0, 0x1p-120F, 0}).v == 0x1p-120F);
    CHECK(update(still(), {0, 0, below(0x1p-120F), 0}).v == 0.0F);
    // v is flushed while m is not: the root is 0, and eps alone divides.
    const State state = update(still(), {0, 0x1p-60F, below(0x1p-120F), 1});
    CHECK(state.m == 0x1p-60F);
    CHECK(state.v == 0.0F);
    CHECK(state.w == 1.0F - 0x1p-10F);
    // With v kept, its root 2^-60 divides too.
    const State kept = update(still(), {0, 0x1p-60F, 0x1p-120F, 1});
    CHECK(kept.w == std::fma(-1.0F, 0x1p-60F / (0x1p-60F + 0x1p-50F), 1.0F));
    CHECK(kept.w != state.w);
  });
}

TEST_CASE("thresholds look at a moment before it is rounded to bf16", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    AdamwStep step = still();
    step.one_minus_beta1 = below(0x1p-50F);
    const State small = update<std::uint16_t>(step, {0x1p-50F, 0, 0, 0}, 0, bf16_encode(1));
    CHECK(small.m == 0.0F);  // 2^-100 once rounded
    step.one_minus_beta1 = 0x1p-50F;
    const State kept = update<std::uint16_t>(step, {0x1p-50F, 0, 0, 0}, 0, bf16_encode(1));
    CHECK(kept.m == 0x1p-100F);
  });
}

TEST_CASE("the update goes on with the bf16 moments that are kept", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    AdamwStep step = still();
    step.beta1 = 0;
    step.one_minus_beta1 = 1;
    const float g = 1.0F + 0x1p-7F + 0x1p-8F;  // halfway between bf16 neighbours: to the even one
    const State state = update<std::uint16_t>(step, {g, 0, 0, 0}, 0, bf16_encode(1));
    CHECK(state.m == 1.0F + 0x1p-6F);
    CHECK(state.w == -(1.0F + 0x1p-6F) / (1.0F + 0x1p-50F));
  });
}

TEST_CASE("a gradient that is not a number is not hidden", "[adamw]") {
  for_each_variant(Op::adamw, [] {
    const ExecSpace exec;
    AdamwStep step = still();
    step.one_minus_beta1 = step.one_minus_beta2 = 0.5F;
    auto gradient = vector_tensor<float>(17).fill_with(std::nanf(""));
    auto m = vector_tensor<float>(17);
    auto v = vector_tensor<float>(17);
    auto w = vector_tensor<float>(17);
    adamw_update(exec, step, gradient.device_vector(), m.device_vector(), v.device_vector(),
                 w.device_vector());
    finish(exec);
    for (Tensor<float>* x : {&m, &v, &w}) {
      x->fetch();
      for (std::int64_t i = 0; i < 17; ++i) CHECK((*x)[i] != (*x)[i]);
    }
  });
}
