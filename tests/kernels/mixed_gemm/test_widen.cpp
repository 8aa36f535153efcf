// Operands as bf16: every code with scales near and far, in each layout that vendor products read, for
// each instruction set.
#include <algorithm>
#include <limits>

#include "core/bf16.hpp"
#include "kernels/host/host_kernels.hpp"
#include "plain.hpp"

using namespace moray;
using namespace moray::test;

#if defined(MORAY_TEST_GENERIC)
namespace moray::generic {
extern const HostWiden host_widen;
}
#endif

namespace {

std::vector<const HostWiden*> all_kernels() {
  std::vector<const HostWiden*> all;
  for (const Variant variant : available_variants(Op::mixed_gemm)) {
    if (const HostKernels* host = host_kernels(variant)) all.push_back(host->widen);
  }
#if defined(MORAY_TEST_GENERIC)
  all.push_back(&generic::host_widen);
#endif
  return all;
}

/// Number (i, j) times the scale of its block: 1 x 128, or with `across` 128 x 1, blocks of `rows` rows.
std::uint16_t plain_wide(const MixedOperand& x, std::int64_t i, std::int64_t j, bool across,
                         std::int64_t rows) {
  float value = plain_number(x, i, j);
  if (x.scales != nullptr) {
    value *= across ? x.scales[i / rows * x.scale_stride + j / x.shared]
                    : x.scales[i / x.shared * x.scale_stride + j / kScaleBlock];
  }
  return bf16_encode(value);
}

bool same(std::uint16_t a, std::uint16_t b) {
  const auto nan = [](std::uint16_t x) { return (x & 0x7fff) > 0x7f80; };
  return a == b || (nan(a) && nan(b));
}

constexpr std::int64_t kRows = 37, kCols = 300;

/// Codes of every kind, the special ones among them, and scales up to `power` from 1.
MixedStored operand_of(NumberType type, bool across, std::int64_t shared, int power,
                       std::mt19937& random) {
  const std::int64_t groups = (across ? kCols + shared - 1 : kRows + shared - 1) / shared;
  MixedStored x(type, kRows, kCols, across ? 3 : groups, across ? groups : 3, shared, 1);
  x.fill(random, true);
  if (type == NumberType::e4m3 || type == NumberType::e5m2) {
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t j = 0; j < kCols; ++j) {
        x.numbers(i, j) = static_cast<std::uint8_t>((i * kCols + j) % 256);
      }
    }
  }
  for (std::int64_t i = 0; i < x.scales.rows(); ++i) {
    for (std::int64_t j = 0; j < x.scales.cols(); ++j) {
      const int exponent = static_cast<int>(random() % (2 * static_cast<unsigned>(power) + 1));
      x.scales(i, j) = std::ldexp(1.0F, exponent - power);
    }
  }
  if (x.scales.rows() > 0) x.scales(0, 0) = std::numeric_limits<float>::quiet_NaN();
  return x;
}

}  // namespace

TEST_CASE("operands of vendor products as bf16", "[mixed_gemm][widen]") {
  if (all_kernels().empty()) WARN("SKIPPED: this build has no host kernels");
  std::mt19937 random(1);
  for (const HostWiden* widen : all_kernels()) {
    for (const NumberType type : kNumberTypes) {
      for (const std::int64_t shared : {1, 20, 128}) {
        // As far as every product is a bf16 number: beyond 2^110 in another way than below.
        for (const int power : {3, type == NumberType::e4m3 ? 118 : 105}) {
          MixedStored along = operand_of(type, false, shared, power, random);
          MixedStored across = operand_of(type, true, shared, power, random);
          const MixedOperand x = along.host(), y = across.host();
          const std::int64_t block = 13;  // rows of a block of y
          std::int64_t wrong = 0;
          std::vector<std::uint16_t> out(400);
          for (std::int64_t i = 0; i < kRows; ++i) {
            widen->row(x, i, kCols, 320, out.data());
            for (std::int64_t j = 0; j < 320; ++j) {
              const auto at = static_cast<std::size_t>(j);
              wrong += j < kCols ? !same(out[at], plain_wide(x, i, j, false, 0)) : out[at] != 0;
            }
            out.assign(out.size(), 7);
            const SumStep step = {static_cast<std::int32_t>(i),
                                  static_cast<std::int32_t>(i / block)};
            widen->step(y, step, 24, 150, out.data());
            for (std::int64_t j = 0; j < 150; ++j) {
              wrong +=
                  !same(out[static_cast<std::size_t>(j)], plain_wide(y, i, 24 + j, true, block));
            }
            wrong += out[150] != 7;
          }
          // Strips of 48 columns of the transposed x, and of y; step kRows is one of zeros.
          const long width = 48, pairs = 160, few = 32;
          std::vector<std::uint32_t> word(static_cast<std::size_t>(width * pairs));
          widen->strip_of_rows(x, 5, 30, kCols, word.data(), width, pairs);
          const auto half = [&](std::int64_t p, std::int64_t c, std::int64_t odd) {
            return static_cast<std::uint16_t>(word[static_cast<std::size_t>(p * width + c)] >>
                                              (16 * odd));
          };
          for (std::int64_t l = 0; l < 2 * pairs; ++l) {
            for (std::int64_t c = 0; c < width; ++c) {
              wrong += l < kCols && c < 30
                           ? !same(half(l / 2, c, l % 2), plain_wide(x, 5 + c, l, false, 0))
                           : half(l / 2, c, l % 2) != 0;
            }
          }
          const std::int64_t strips = 4, columns = 170;
          word.assign(static_cast<std::size_t>(strips * few * width), 0);
          for (std::int64_t p = 0; p < few; ++p) {
            const auto step = [&](std::int64_t l) {
              if (l >= kRows) return SumStep{-1, 0};
              return SumStep{static_cast<std::int32_t>(l), static_cast<std::int32_t>(l / block)};
            };
            widen->pair_of_steps(y, step(2 * p), step(2 * p + 1), 8, columns,
                                 {word.data(), width, few}, p);
          }
          for (std::int64_t l = 0; l < 2 * few; ++l) {
            for (std::int64_t c = 0; c < strips * width; ++c) {
              const std::int64_t p = c / width * few + l / 2;
              const bool inside = l < kRows && c < columns;
              const std::uint16_t got = half(p, c % width, l % 2);
              wrong += inside ? !same(got, plain_wide(y, l, 8 + c, true, block))
                              : l >= kRows && got != 0;
            }
          }
          INFO("type " << static_cast<int>(type) << " shared " << shared << " power " << power);
          CHECK(wrong == 0);
        }
      }
    }
  }
}
