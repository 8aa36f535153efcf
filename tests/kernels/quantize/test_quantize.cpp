// Every form in every variant against the definition, by memcmp.
#include "kernels/quantize/quantize.hpp"

#include <bit>

#include "catch.hpp"
#include "core/bf16.hpp"
#include "kernels/quantize/bf16.hpp"
#include "kernels/quantize/plain.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// Values whose blocks differ in size, from below the clamp to large, with zeros of both signs.
Tensor<float> sample(std::int64_t rows, std::int64_t cols, std::int64_t gap, unsigned seed) {
  std::mt19937 random(seed);
  auto x = Tensor<float>(rows, cols, gap).fill(random);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto power = static_cast<int>((i / 50 * 7 + j / 90 * 11) % 30) - 20;
      x(i, j) = std::ldexp(x(i, j), power);
      if ((i + j) % 17 == 0) x(i, j) = (i + j) % 2 == 0 ? 0.0F : -0.0F;
    }
  }
  return x;
}

template <class Body>
void for_types_and_rules(const std::vector<CodeType>& types, const Body& body) {
  for (const CodeType type : types) {
    for (const ScaleRule rule : kScaleRules) {
      INFO("type " << static_cast<int>(type) << ", rule " << static_cast<int>(rule));
      body(type, rule);
    }
  }
}

void check_tokens(std::int64_t rows, std::int64_t cols, std::int64_t gap) {
  INFO("rows " << rows << ", cols " << cols << ", gap " << gap);
  const ExecSpace exec;
  auto x = sample(rows, cols, gap, 1);
  for_types_and_rules(kCodeTypes, [&](CodeType type, ScaleRule rule) {
    auto got = tokens_of(type, rows, cols, gap), expected = got;
    plain_tokens(x.host(), rule, expected.host());
    const Quantized on_device = got.device();
    quantize_tokens(exec, x.device(), rule, on_device);
    got.fetch();
    CHECK(got.same_bits(expected));

    auto back = Tensor<float>(rows, cols, gap).fill_with(3.0F), expected_back = back;
    for (std::int64_t t = 0; t < rows; ++t) {
      for (std::int64_t j = 0; j < cols; ++j) {
        expected_back(t, j) = plain_value(got.host(), t, j, got.scales(t, j / 128));
      }
    }
    dequantize_tokens(exec, on_device, back.device());
    finish(exec);
    back.fetch();
    CHECK(back.same_bits(expected_back));
  });
}

void check_channels(std::int64_t begin, const std::vector<std::int64_t>& lengths, std::int64_t cols,
                    std::int64_t gap) {
  INFO("cols " << cols << ", gap " << gap << ", sequences " << lengths.size());
  const ExecSpace exec;
  const std::vector<RowBlock> blocks = blocks_of(begin, lengths);
  std::int64_t rows = begin + 2;  // rows outside every block on both sides
  for (const std::int64_t length : lengths) rows += length;
  auto device_blocks = block_tensor(blocks);
  const Vector<const RowBlock> table = device_blocks.device_vector();
  auto x = sample(rows, cols, gap, 2);
  for (const Layout layout : kLayouts) {
    const bool as_rows = layout == Layout::rows;
    for_types_and_rules(kByteTypes, [&](CodeType type, ScaleRule rule) {
      INFO("layout " << as_rows);
      auto got = channels_of(type, rows, cols, blocks, layout, gap), expected = got;
      plain_channels(x.host(), blocks, rule, layout, expected.host());
      const Quantized on_device = got.device();
      quantize_channels(exec, x.device(), table, rule, layout, on_device);
      got.fetch();
      CHECK(got.same_bits(expected));

      auto back = as_rows ? Tensor<float>(rows, cols, gap) : Tensor<float>(cols, rows, gap);
      auto expected_back = back;
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        for (std::int64_t t = blocks[b].begin; t < blocks[b].begin + blocks[b].count; ++t) {
          for (std::int64_t j = 0; j < cols; ++j) {
            const auto k = static_cast<std::int64_t>(b);
            const float scale = as_rows ? got.scales(k, j) : got.scales(j, k);
            (as_rows ? expected_back(t, j) : expected_back(j, t)) =
                plain_value(got.host(), as_rows ? t : j, as_rows ? j : t, scale);
          }
        }
      }
      dequantize_channels(exec, on_device, table, layout, back.device());
      finish(exec);
      back.fetch();
      CHECK(back.same_bits(expected_back));

      // From 1 x 128 codes of every type: as if their values had been given.
      for (const CodeType from : kCodeTypes) {
        auto codes = tokens_of(from, rows, cols, gap);
        plain_tokens(x.host(), ScaleRule::float32, codes.host());
        auto values = Tensor<float>(rows, cols);
        for (std::int64_t t = 0; t < rows; ++t) {
          for (std::int64_t j = 0; j < cols; ++j) {
            values(t, j) = plain_value(codes.host(), t, j, codes.scales(t, j / 128));
          }
        }
        auto again = channels_of(type, rows, cols, blocks, layout, gap), expected_again = again;
        plain_channels(values.host(), blocks, rule, layout, expected_again.host());
        requantize_channels(exec, codes.device(), cols, table, rule, layout, again.device());
        again.fetch();
        CHECK(again.same_bits(expected_again));
      }
    });
  }
}

void check_weights(std::int64_t rows, std::int64_t cols, std::int64_t gap) {
  INFO("rows " << rows << ", cols " << cols << ", gap " << gap);
  const ExecSpace exec;
  auto w = sample(rows, cols, gap, 3);
  for_types_and_rules(kByteTypes, [&](CodeType type, ScaleRule rule) {
    auto got = weights_of(type, rows, cols, gap), expected = got;
    plain_weights(w.host(), rule, expected.host());
    const Quantized on_device = got.device();
    quantize_weights(exec, w.device(), rule, on_device);
    got.fetch();
    CHECK(got.same_bits(expected));

    auto back = Tensor<float>(rows, cols, gap).fill_with(3.0F), expected_back = back;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) {
        expected_back(i, j) = plain_value(got.host(), i, j, got.scales(i / 128, j / 128));
      }
    }
    dequantize_weights(exec, on_device, back.device());
    finish(exec);
    back.fetch();
    CHECK(back.same_bits(expected_back));
  });
}

}  // namespace

TEST_CASE("1 x 128 is the definition, and back", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    for (const std::int64_t cols : {1, 7, 8, 9, 16, 33, 127, 128, 129, 136, 255, 256, 300, 512}) {
      check_tokens(3, cols, 0);
      check_tokens(2, cols, 5);
    }
    check_tokens(0, 128, 0);
    check_tokens(37, 384, 0);
  });
}

TEST_CASE("128 x 1 is the definition, directly and from codes, in both layouts", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    check_channels(0, {128}, 64, 0);
    check_channels(0, {1}, 1, 0);
    check_channels(3, {127, 0, 129}, 33, 5);  // an empty sequence has no block
    check_channels(1, {20, 300, 16}, 200, 3);
    check_channels(0, {}, 16, 0);
  });
}

TEST_CASE("128 x 128 is the definition, and back", "[quantize]") {
  for_each_variant(Op::quantize, [] {
    check_weights(128, 128, 0);
    check_weights(1, 1, 0);
    check_weights(130, 257, 3);
    check_weights(127, 20, 0);
    check_weights(300, 129, 1);
    check_weights(0, 5, 0);
  });
}

TEST_CASE("blocks along tokens start anew with each sequence", "[quantize]") {
  const std::vector<RowBlock> blocks = blocks_of(10, {130, 0, 128, 5});
  const std::vector<std::vector<int>> expected = {{10, 128}, {138, 2}, {140, 128}, {268, 5}};
  REQUIRE(blocks.size() == expected.size());
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    CHECK(blocks[b].begin == expected[b][0]);
    CHECK(blocks[b].count == expected[b][1]);
  }
}

TEST_CASE("bf16: every variant is core/bf16.hpp, value by value", "[quantize]") {
  const ExecSpace exec;
  std::mt19937 random(9);
  for (const std::int64_t width : {1, 7, 16, 127, 128, 300}) {
    auto x = Tensor<float>(5, width, 3).fill_with(0);
    for (std::int64_t i = 0; i < 5; ++i) {  // infinities, NaN and denormals too
      for (std::int64_t j = 0; j < width; ++j)
        x(i, j) = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    }
    for_each_variant(Op::quantize, [&] {
      auto codes = Tensor<std::uint16_t>(5, width, 2).fill_with(7);
      auto back = Tensor<float>(5, width, 1).fill_with(7);
      auto rounded = x;
      const Matrix<std::uint16_t> on_device = codes.device();
      to_bf16(exec, x.device(), on_device);
      from_bf16(exec, on_device, back.device());
      round_to_bf16(exec, rounded.device());
      finish(exec);
      codes.fetch();
      back.fetch();
      rounded.fetch();
      auto expected_codes = Tensor<std::uint16_t>(5, width, 2).fill_with(7);
      auto expected_back = Tensor<float>(5, width, 1).fill_with(7);
      auto expected_rounded = x;
      for (std::int64_t i = 0; i < 5; ++i) {
        for (std::int64_t j = 0; j < width; ++j) {
          expected_codes(i, j) = bf16_encode(x(i, j));
          expected_back(i, j) = expected_rounded(i, j) = bf16_decode(expected_codes(i, j));
        }
      }
      CHECK(codes.same_bits(expected_codes));
      CHECK(back.same_bits(expected_back));
      CHECK(rounded.same_bits(expected_rounded));
    });
  }
}
