// What quantisation is worth, and its edges: chosen inputs whose codes can be read off.
#include "catch.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/quantize/plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

float largest_of(CodeType type) {
  return type == CodeType::e4m3 ? 448.0F : type == CodeType::e5m2 ? 57344.0F : 65024.0F;
}
std::uint32_t encode(CodeType type, float x) {
  return type == CodeType::e4m3   ? e4m3_encode(x)
         : type == CodeType::e5m2 ? e5m2_encode(x)
                                  : e5m6_encode(x);
}
float decode(CodeType type, std::uint32_t code) {
  return type == CodeType::e4m3   ? e4m3_decode(static_cast<std::uint8_t>(code))
         : type == CodeType::e5m2 ? e5m2_decode(static_cast<std::uint8_t>(code))
                                  : e5m6_decode(static_cast<std::uint16_t>(code));
}

/// Quantises rows of one block each and gives them back as values.
struct RoundTrip {
  RoundTrip(Tensor<float>& x, CodeType type, ScaleRule rule)
      : stored(tokens_of(type, x.rows(), x.cols())), back(x.rows(), x.cols()) {
    const ExecSpace exec;
    const Quantized on_device = stored.device();
    quantize_tokens(exec, x.device(), rule, on_device);
    dequantize_tokens(exec, on_device, back.device());
    stored.fetch();
    back.fetch();
  }
  Stored stored;
  Tensor<float> back;
};

/// 1 - 2 <x, y> / (<x, x> + <y, y>) in float64, DeepSeek's measure of a difference.
double calc_diff(Tensor<float>& x, Tensor<float>& y) {
  double xy = 0, xx = 0, yy = 0;
  for (std::int64_t i = 0; i < x.rows() * x.cols(); ++i) {
    const double a = static_cast<double>(x[i]), b = static_cast<double>(y[i]);
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return 1 - 2 * xy / (xx + yy);
}

/// Sends values through blocks that begin with the largest value, so that the scale is 1 and each
/// code is that of the value itself.
void check_unscaled(CodeType type, const std::vector<float>& values) {
  const auto rows = static_cast<std::int64_t>((values.size() + 126) / 127);
  auto x = Tensor<float>(rows, 128);
  for (std::int64_t t = 0; t < rows; ++t) x(t, 0) = largest_of(type);
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto at = static_cast<std::int64_t>(k);
    x(at / 127, 1 + at % 127) = values[k];
  }
  RoundTrip trip(x, type, ScaleRule::power_of_two);
  for (std::int64_t t = 0; t < rows; ++t) {
    if (trip.stored.scales(t, 0) != 1.0F) FAIL("scale " << trip.stored.scales(t, 0));
    for (std::int64_t j = 0; j < 128; ++j) {
      const float expected = decode(type, encode(type, x(t, j)));
      if (float_bits(trip.back(t, j)) != float_bits(expected)) {
        FAIL("type " << static_cast<int>(type) << ", bits " << std::hex << float_bits(x(t, j)));
      }
    }
  }
}

/// Every float32 of both signs up to the largest value of the type, in pieces.
void check_all(CodeType type) {
  for_each_variant(Op::quantize, [type] {
    std::vector<float> values;
    for (std::uint32_t bits = 0; bits <= float_bits(largest_of(type)); ++bits) {
      values.push_back(float_of(bits));
      values.push_back(-float_of(bits));
      if (values.size() < (std::size_t{1} << 22)) continue;
      check_unscaled(type, values);
      values.clear();
    }
    check_unscaled(type, values);
  });
}

}  // namespace

TEST_CASE("every code, midpoint and neighbour in every variant", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const CodeType type : kCodeTypes) {
      std::vector<float> values;
      for (std::uint32_t code = 0; decode(type, code) < largest_of(type); ++code) {
        const float low = decode(type, code), high = decode(type, code + 1);
        const float middle = (low + high) / 2;  // exact
        for (const float place : {low, middle, high}) {
          for (const float x : {place, std::nextafter(place, 0.0F), std::nextafter(place, high)}) {
            values.push_back(x);
            values.push_back(-x);
          }
        }
      }
      check_unscaled(type, values);
    }
  });
}

TEST_CASE("a round trip keeps what the format promises", "[quantize]") {
  std::mt19937 random(7);
  auto x = Tensor<float>(512, 512).fill(random);
  for_each_variant(Op::quantize, [&] {
    for (const ScaleRule rule : kScaleRules) {
      RoundTrip e4m3(x, CodeType::e4m3, rule), e5m6(x, CodeType::e5m6, rule);
      CHECK(calc_diff(x, e4m3.back) < 1e-3);
      CHECK(calc_diff(x, e5m6.back) < 1e-4);
      CHECK(calc_diff(x, e4m3.back) > 1e-5);  // it is not the float32 that comes back
      RoundTrip again(e4m3.back, CodeType::e4m3, rule);
      if (rule == ScaleRule::power_of_two) CHECK(again.back.same_bits(e4m3.back));
    }
  });
}

TEST_CASE("weights and channels keep it too", "[quantize]") {
  const ExecSpace exec;
  std::mt19937 random(8);
  const std::int64_t rows = 300, cols = 200;
  auto x = Tensor<float>(rows, cols).fill(random);
  const std::vector<RowBlock> blocks = blocks_of(0, {100, 200});
  auto table = block_tensor(blocks);
  for_each_variant(Op::quantize, [&] {
    for (const ScaleRule rule : kScaleRules) {
      auto weights = weights_of(CodeType::e4m3, rows, cols);
      auto channels = channels_of(CodeType::e4m3, rows, cols, blocks, Layout::rows);
      auto back = Tensor<float>(rows, cols);
      const Quantized as_weights = weights.device(), as_channels = channels.device();
      quantize_weights(exec, x.device(), rule, as_weights);
      dequantize_weights(exec, as_weights, back.device());
      finish(exec);
      back.fetch();
      CHECK(calc_diff(x, back) < 1e-3);
      quantize_channels(exec, x.device(), table.device_vector(), rule, Layout::rows, as_channels);
      dequantize_channels(exec, as_channels, table.device_vector(), Layout::rows, back.device());
      finish(exec);
      back.fetch();
      CHECK(calc_diff(x, back) < 1e-3);
    }
  });
}

TEST_CASE("rounding has no bias", "[quantize]") {
  // Positive: rounding towards or away from zero would show.
  std::mt19937 random(9);
  std::uniform_real_distribution<float> values(0.125F, 1.0F);
  Tensor<float> x(1024, 512);
  for (std::int64_t i = 0; i < x.rows() * x.cols(); ++i) x[i] = values(random);
  for_each_variant(Op::quantize, [&] {
    for (const CodeType type : kCodeTypes) {
      for (const ScaleRule rule : kScaleRules) {
        RoundTrip trip(x, type, rule);
        double below = 0, different = 0;
        for (std::int64_t i = 0; i < x.rows() * x.cols(); ++i) {
          below += trip.back[i] < x[i];
          different += trip.back[i] != x[i];
        }
        CHECK(different > 1e5);
        CHECK(std::abs(below / different - 0.5) < 10 / std::sqrt(different));
      }
    }
  });
}

TEST_CASE("a power-of-two scale is chosen before the data is quantised", "[quantize]") {
  // 500 / 448 is rounded up to 2: quantised with that scale the value is within half a step. Rounding
  // the scale of data that was divided by 500 / 448 would give 896, or 448.
  auto x = Tensor<float>(1, 128).fill_with(1.0F);
  x(0, 0) = 500.0F;
  for_each_variant(Op::quantize, [&] {
    RoundTrip trip(x, CodeType::e4m3, ScaleRule::power_of_two);
    CHECK(trip.stored.scales(0, 0) == 2.0F);
    CHECK(trip.back(0, 0) == 512.0F);
    CHECK(trip.back(0, 1) == 1.0F);
    x(0, 0) = 448.0F;
    CHECK(RoundTrip(x, CodeType::e4m3, ScaleRule::power_of_two).stored.scales(0, 0) == 1.0F);
    x(0, 0) = 500.0F;
  });
}

TEST_CASE("a block of nothing has the scale of the clamp", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const float tiny : {0.0F, -0.0F, 1e-30F, 9.9e-5F}) {
      auto x = Tensor<float>(1, 130).fill_with(tiny);
      RoundTrip trip(x, CodeType::e4m3, ScaleRule::float32);
      CHECK(trip.stored.scales(0, 0) == 1e-4F / 448.0F);
      CHECK(trip.stored.scales(0, 1) == 1e-4F / 448.0F);
      if (tiny == 0.0F) CHECK(trip.back.same_bits(x));
      RoundTrip power(x, CodeType::e4m3, ScaleRule::power_of_two);
      CHECK(power.stored.scales(0, 0) == std::ldexp(1.0F, -22));
    }
  });
}

TEST_CASE("a value that is not finite makes its block NaN and no other", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      for (const CodeType type : kCodeTypes) {
        for (const ScaleRule rule : kScaleRules) {
          auto x = Tensor<float>(2, 300).fill_with(1.0F);
          x(0, 299) = bad;
          RoundTrip trip(x, type, rule);
          auto expected = trip.stored;
          plain_tokens(x.host(), rule, expected.host());
          CHECK(trip.stored.codes.same_bits(expected.codes));
          for (std::int64_t t = 0; t < 2; ++t) {
            for (std::int64_t j = 0; j < 300; ++j) {
              CHECK(std::isnan(trip.back(t, j)) == (t == 0 && j >= 256));
            }
          }
        }
      }
    }
  });
}

TEST_CASE("the largest float32 is quantised, not lost", "[quantize]") {
  auto x = Tensor<float>(1, 128).fill_with(3.4028235e38F);
  for_each_variant(Op::quantize, [&] {
    for (const CodeType type : kCodeTypes) {
      for (const ScaleRule rule : kScaleRules) {
        RoundTrip trip(x, type, rule);
        CHECK(std::isfinite(trip.stored.scales(0, 0)));
        CHECK(decode(type, encode(type, x(0, 0) / trip.stored.scales(0, 0))) > 0);
      }
    }
  });
}

TEST_CASE("E4M3 of all float32 in every variant", "[long]") {
  check_all(CodeType::e4m3);
}
TEST_CASE("E5M2 of all float32 in every variant", "[long]") {
  check_all(CodeType::e5m2);
}
TEST_CASE("E5M6 of all float32 in every variant", "[long]") {
  check_all(CodeType::e5m6);
}
