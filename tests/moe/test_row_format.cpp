// Rows as they are dispatched, against docs/fp8.md section 4 in plain code: single values, whose encoding
// core/test_fp8 holds to its definition.
#include "moe/row_format.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "catch.hpp"
#include "core/bf16.hpp"
#include "core/fp8.hpp"

using namespace moray;

namespace {

constexpr std::int64_t kRows = 7;

/// Rows whose blocks have magnitudes from 2^-20 to 2^20, some of them nothing but zeros.
std::vector<float> values(std::int64_t width) {
  std::mt19937 random(7);
  std::normal_distribution<float> one;
  std::vector<float> x(static_cast<std::size_t>(kRows * width));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto block = static_cast<int>(i) / 128;
    x[i] = block % 5 == 4 ? 0.0F : std::ldexp(one(random), 7 * block % 41 - 20);
  }
  return x;
}

/// A packed row: codes, a byte for the scale of each 128 of them, zeros to a whole word.
std::vector<std::uint8_t> plain_row(const float* x, std::int64_t width) {
  std::vector<std::uint8_t> row;
  std::vector<std::uint8_t> scales;
  for (std::int64_t begin = 0; begin < width; begin += 128) {
    const std::int64_t end = std::min(begin + 128, width);
    float amax = 1e-4F;
    for (std::int64_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    int exponent = 0;  // of the least power of two that is no less than amax / 448
    if (std::frexp(amax / 448.0F, &exponent) == 0.5F) --exponent;
    for (std::int64_t i = begin; i < end; ++i)
      row.push_back(e4m3_encode(x[i] * std::ldexp(1.0F, -exponent)));
    scales.push_back(static_cast<std::uint8_t>(exponent + 127));
  }
  row.insert(row.end(), scales.begin(), scales.end());
  row.resize((row.size() + 3) / 4 * 4);
  return row;
}

}  // namespace

TEST_CASE("a dispatched row is its codes, a byte for each scale, and zeros", "[row_format]") {
  for (const std::int64_t width : {64, 128, 130, 384, 515}) {
    CAPTURE(width);
    const std::vector<float> x = values(width);
    const std::int64_t bytes = row_bytes<float>(RowFormat::e4m3, width);
    const auto size = static_cast<std::size_t>(kRows * bytes);
    View1<float> input("test::x", x.size());
    View1<float> scales("test::scales", static_cast<std::size_t>(kRows * scale_blocks(width)));
    View1<std::byte> packed("test::packed", size);
    copy_to_device(x.data(), x.size(), input.data());
    std::vector<std::byte> got(size, std::byte{0xee});  // what was there must not stay
    copy_to_device(got.data(), size, packed.data());
    const ExecSpace exec;
    const Matrix<float> scratch = matrix(scales.data(), kRows, scale_blocks(width));
    const Matrix<std::byte> rows = matrix(packed.data(), kRows, bytes);
    pack_rows<float>(exec, RowFormat::e4m3, matrix<const float>(input.data(), kRows, width),
                     scratch, rows);
    fence(exec, "test: packed");
    copy_to_host(packed.data(), size, got.data());
    for (std::int64_t t = 0; t < kRows; ++t) {
      const std::vector<std::uint8_t> expected = plain_row(x.data() + t * width, width);
      REQUIRE(static_cast<std::int64_t>(expected.size()) == bytes);
      CHECK(std::memcmp(got.data() + t * bytes, expected.data(), expected.size()) == 0);
    }

    // The receiver has nothing but the row.
    std::vector<float> found(static_cast<std::size_t>(scratch.rows * scratch.cols), -1);
    copy_to_device(found.data(), found.size(), scales.data());
    const Quantized codes = row_codes(exec, rows, width, scratch);
    fence(exec, "test: unpacked");
    copy_to_host(scales.data(), found.size(), found.data());
    CHECK(codes.codes.data == reinterpret_cast<std::uint8_t*>(packed.data()));
    for (std::int64_t t = 0; t < kRows; ++t) {
      const std::vector<std::uint8_t> row = plain_row(x.data() + t * width, width);
      for (std::int64_t q = 0; q < scratch.cols; ++q)
        CHECK(found[static_cast<std::size_t>(t * scratch.cols + q)] ==
              std::ldexp(1.0F, row[static_cast<std::size_t>(width + q)] - 127));
    }
  }
}

TEST_CASE("a dispatched row in bf16 is its values rounded", "[row_format]") {
  constexpr std::int64_t kWidth = 131;
  const std::vector<float> x = values(kWidth);
  const std::int64_t bytes = row_bytes<float>(RowFormat::bf16, kWidth);
  View1<float> input("test::x", x.size());
  View1<std::byte> packed("test::packed", static_cast<std::size_t>(kRows * bytes));
  copy_to_device(x.data(), x.size(), input.data());
  const ExecSpace exec;
  pack_rows<float>(exec, RowFormat::bf16, matrix<const float>(input.data(), kRows, kWidth), {},
                   matrix(packed.data(), kRows, bytes));
  fence(exec, "test: packed");
  std::vector<std::byte> got(static_cast<std::size_t>(kRows * bytes));
  copy_to_host(packed.data(), got.size(), got.data());
  for (std::int64_t t = 0; t < kRows; ++t) {
    for (std::int64_t i = 0; i < kWidth; ++i) {
      std::uint16_t code = 0;
      std::memcpy(&code, got.data() + t * bytes + 2 * i, sizeof code);
      CHECK(code == bf16_encode(x[static_cast<std::size_t>(t * kWidth + i)]));
    }
  }
}
