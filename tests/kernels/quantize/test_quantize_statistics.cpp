// Statistics of quantised values against a count of single values that is written again here.
#include "kernels/quantize/quantize_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "kernels/quantize/plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

using Words = std::vector<std::int64_t>;

Words nothing() {
  Words words(static_cast<std::size_t>(kStatisticWords), 0);
  words[QuantizationWord::least_amax] = kNoAmax;
  return words;
}

std::int64_t bits_of(float x) {
  std::int32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// What add_statistics says, from decoded codes and with the functions of the library.
void plain_count(Matrix<const float> x, const Quantized& q, std::int64_t block_rows, Words& words) {
  for (std::int64_t i = 0; i < x.rows; i += block_rows) {
    for (std::int64_t j = 0; j < x.cols; j += 128) {
      float amax = 0;
      for (std::int64_t r = i; r < std::min(i + block_rows, x.rows); ++r) {
        for (std::int64_t c = j; c < std::min(j + 128, x.cols); ++c) {
          amax = std::max(amax, std::fabs(x(r, c)));
          const float decoded = plain_value(q, r, c, 1.0F);
          words[QuantizationWord::values] += 1;
          words[QuantizationWord::underflow] += x(r, c) != 0 && decoded == 0 ? 1 : 0;
          words[QuantizationWord::saturated] += std::fabs(decoded) == 448 ? 1 : 0;
        }
      }
      words[QuantizationWord::blocks] += 1;
      words[QuantizationWord::clamped] += amax < 1e-4F ? 1 : 0;
      auto& least = words[QuantizationWord::least_amax];
      auto& largest = words[QuantizationWord::largest_amax];
      least = std::min(least, bits_of(amax));
      largest = std::max(largest, bits_of(amax));
      const int exponent = std::ilogb(q.scales(i / block_rows, j / 128));
      const int bin = std::clamp(exponent + 24, 0, 47);
      words[static_cast<std::size_t>(QuantizationWord::scales + bin)] += 1;
    }
  }
}

/// Blocks of very different sizes; values of a block span 24 powers of two, some are zeros.
Tensor<float> sample(std::int64_t rows, std::int64_t cols, std::int64_t gap, unsigned seed) {
  std::mt19937 random(seed);
  auto x = Tensor<float>(rows, cols, gap).fill(random);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto block = static_cast<int>((i / 128 * 7 + i % 3 * 5 + j / 128 * 11) % 45) - 25;
      x(i, j) = std::ldexp(x(i, j), block - static_cast<int>((3 * i + 5 * j) % 24));
      if ((i + 2 * j) % 13 == 0) x(i, j) = i % 2 == 0 ? 0.0F : -0.0F;
    }
  }
  return x;
}

struct Counted {
  Tensor<std::int64_t> words{1, kStatisticWords};
  const Matrix<std::int64_t> device = words.device();
  const ExecSpace exec = {};
  Counted() { clear_statistics(exec, device); }
  void add(Matrix<const float> x, const Quantized& q, std::int64_t block_rows) {
    add_statistics(exec, x, q.codes, q.scales, block_rows, {device.data, kStatisticWords});
  }
  Words read() {
    finish(exec);
    words.fetch();
    return {words.host().data, words.host().data + kStatisticWords};
  }
};

}  // namespace

TEST_CASE("statistics are a count of single values, added up", "[quantize]") {
  for (const ScaleRule rule : kScaleRules) {
    Counted counted;
    Words expected = nothing();
    CHECK(counted.read() == expected);
    for (const auto& [rows, cols] : {std::pair{1, 1}, {40, 300}, {130, 128}, {3, 1000}}) {
      INFO("rows " << rows << ", cols " << cols);
      auto x = sample(rows, cols, 3, 5);
      const Matrix<float> on_device = x.device();
      Stored tokens = tokens_of(CodeType::e4m3, rows, cols, 5);
      const Quantized by_token = tokens.device();
      quantize_tokens(counted.exec, on_device, rule, by_token);
      counted.add(on_device, by_token, 1);
      tokens.fetch();
      plain_count(x.host(), tokens.host(), 1, expected);
      CHECK(counted.read() == expected);
      Stored weights = weights_of(CodeType::e4m3, rows, cols, 5);
      const Quantized by_block = weights.device();
      quantize_weights(counted.exec, on_device, rule, by_block);
      counted.add(on_device, by_block, 128);
      weights.fetch();
      plain_count(x.host(), weights.host(), 128, expected);
      CHECK(counted.read() == expected);
    }
    // Each count had something to count, and not everything.
    for (const auto word : {QuantizationWord::underflow, QuantizationWord::saturated}) {
      CHECK(expected[static_cast<std::size_t>(word)] > 0);
      CHECK(expected[static_cast<std::size_t>(word)] < expected[QuantizationWord::values]);
    }
    CHECK(expected[QuantizationWord::clamped] > 0);
    CHECK(expected[QuantizationWord::clamped] < expected[QuantizationWord::blocks]);
    CHECK(std::count(expected.begin() + QuantizationWord::scales, expected.end(), 0) < 40);
  }
}

TEST_CASE("statistics of values that are not finite, and of far scales", "[quantize]") {
  Counted counted;
  Tensor<float> x(3, 128);
  x.fill_with(1.0F);
  x(0, 7) = std::numeric_limits<float>::infinity();
  x(1, 9) = std::numeric_limits<float>::max();
  Stored codes = tokens_of(CodeType::e4m3, 3, 128);
  const Matrix<float> on_device = x.device();
  const Quantized q = codes.device();
  quantize_tokens(counted.exec, on_device, ScaleRule::float32, q);
  counted.add(on_device, q, 1);
  const Words words = counted.read();
  CHECK(words[QuantizationWord::largest_amax] == 0x7f800000);
  CHECK(words[QuantizationWord::least_amax] == bits_of(1.0F));
  CHECK(words[QuantizationWord::underflow] == 127);      // beside the largest number
  CHECK(words[QuantizationWord::saturated] == 1 + 128);  // and those of the third row
  CHECK(words.back() == 2);                              // a NaN, and 2^128 / 448
  CHECK(words[QuantizationWord::scales + 24 - 9] == 1);  // 1 / 448
}
