#include "model/plain_fp8.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>

#include <fmt/format.h>

#include "core/bf16.hpp"
#include "core/fp8.hpp"

namespace moray::test {
namespace {

float e4m3(float x) {
  return e4m3_decode(e4m3_encode(x));
}
float e5m6(float x) {
  return e5m6_decode(e5m6_encode(x));
}

/// Quantises blocks, given by a number for each element. `code` rounds to a format with this largest
/// value.
template <class Code, class BlockOf>
Codes quantised(const PlainMatrix& x, float largest, const Code& code, bool power,
                const BlockOf& block_of) {
  std::vector<float> amax;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols; ++j) {
      const std::size_t b = block_of(i, j);
      if (amax.size() <= b) amax.resize(b + 1, 1e-4F);
      amax[b] = std::max(amax[b], std::fabs(x(i, j)));
    }
  }
  Codes out{x, x};
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols; ++j) {
      const float a = amax[block_of(i, j)];
      float scale = a / largest, factor = largest / a;
      if (power) {
        int exponent = 0;
        const float half = std::frexp(scale, &exponent);
        scale = std::ldexp(1.0F, half == 0.5F ? exponent - 1 : exponent);
        factor = 1.0F / scale;
      }
      out.codes(i, j) = code(x(i, j) * factor);
      out.scales(i, j) = scale;
    }
  }
  return out;
}

std::size_t across(const PlainMatrix& x, std::size_t columns) {
  return (x.cols + columns - 1) / columns;
}

/// Rounded with a power of two for each block of rows and `columns` channels.
PlainMatrix coarse(const PlainMatrix& x, const RowBlocks& blocks, std::size_t columns) {
  return decoded(quantised(x, 448.0F, e4m3, true, [&](std::size_t i, std::size_t j) {
    return blocks[i] * across(x, columns) + j / columns;
  }));
}

}  // namespace

float rounded_to_bf16(float x) {
  return bf16_decode(bf16_encode(x));
}

PlainMatrix normal_matrix(std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> one;
  return mapped(PlainMatrix(rows, cols), [&](float) { return one(random); });
}

PlainMatrix on_host(const Matrix<const float>& x) {
  PlainMatrix out(static_cast<std::size_t>(x.rows), static_cast<std::size_t>(x.cols));
  for (std::int64_t i = 0; i < x.rows; ++i)
    copy_to_host(x.row(i), out.cols, out.values.data() + static_cast<std::size_t>(i) * out.cols);
  return out;
}

std::string difference(const PlainMatrix& found, const PlainMatrix& expected) {
  if (found.cols != expected.cols || found.values.size() != expected.values.size())
    return fmt::format("({}, {}) instead of ({}, {})", found.rows(), found.cols, expected.rows(),
                       expected.cols);
  std::string text;
  std::size_t count = 0;
  for (std::size_t i = 0; i < found.values.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(found.values[i]) ==
        std::bit_cast<std::uint32_t>(expected.values[i])) {
      continue;
    }
    if (count++ == 0)
      text = fmt::format("element ({}, {}) is {} instead of {}", i / found.cols, i % found.cols,
                         found.values[i], expected.values[i]);
  }
  return count == 0 ? "" : fmt::format("{}; {} of {} differ", text, count, found.values.size());
}

RowBlocks row_blocks(const std::vector<std::size_t>& runs) {
  RowBlocks blocks;
  std::size_t next = 0;
  for (const std::size_t rows : runs) {
    for (std::size_t i = 0; i < rows; ++i) blocks.push_back(next + i / 128);
    next += (rows + 127) / 128;
  }
  return blocks;
}

PlainMatrix decoded(const Codes& x) {
  PlainMatrix out = x.codes;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] *= x.scales.values[i];
  return out;
}

Codes rows_of(const Codes& x, std::size_t begin, std::size_t end) {
  std::vector<std::size_t> order;
  for (std::size_t i = begin; i < end; ++i) order.push_back(i);
  return rows_of(x, order);
}

Codes rows_of(const Codes& x, const std::vector<std::size_t>& order) {
  Codes out{PlainMatrix(order.size(), x.codes.cols), PlainMatrix(order.size(), x.codes.cols)};
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::size_t j = 0; j < x.codes.cols; ++j) {
      out.codes(i, j) = x.codes(order[i], j);
      out.scales(i, j) = x.scales(order[i], j);
    }
  }
  return out;
}

Codes by_token(const PlainMatrix& x, bool power) {
  return quantised(x, 448.0F, e4m3, power,
                   [&](std::size_t i, std::size_t j) { return i * across(x, 128) + j / 128; });
}
Codes by_token_e5m6(const PlainMatrix& x) {
  return quantised(x, 65024.0F, e5m6, true,
                   [&](std::size_t i, std::size_t j) { return i * across(x, 128) + j / 128; });
}
Codes by_channel(const PlainMatrix& x, bool power, const RowBlocks& blocks) {
  return quantised(x, 448.0F, e4m3, power,
                   [&](std::size_t i, std::size_t j) { return blocks[i] * x.cols + j; });
}
Codes by_square(const PlainMatrix& w, bool power) {
  return quantised(w, 448.0F, e4m3, power, [&](std::size_t i, std::size_t j) {
    return i / 128 * across(w, 128) + j / 128;
  });
}

PlainMatrix Recipe::value(const PlainMatrix& x, const RowBlocks& blocks) const {
  return precision.value_scales == "tensor" ? coarse(x, blocks, x.cols) : x;
}
PlainMatrix Recipe::gradient(const PlainMatrix& dy, const RowBlocks& blocks) const {
  if (precision.gradient_scales == "token") return dy;
  return coarse(dy, blocks, precision.gradient_scales == "tensor" ? dy.cols : 128);
}
Codes Recipe::w(const PlainMatrix& values) const {
  return by_square(value(values, RowBlocks(values.rows(), 0)), power());
}

PlainMatrix forward_product(const Codes& x, const Codes& w) {
  const std::size_t depth = x.codes.cols;
  PlainMatrix y(x.codes.rows(), w.codes.rows());
  for (std::size_t t = 0; t < y.rows(); ++t) {
    for (std::size_t o = 0; o < y.cols; ++o) {
      float acc = 0;
      for (std::size_t q = 0; q < depth; q += 128) {
        float chain = 0;
        for (std::size_t k = q; k < std::min(q + 128, depth); ++k)
          chain = std::fma(x.codes(t, k), w.codes(o, k), chain);
        acc = std::fma(chain, x.scales(t, q) * w.scales(o, q), acc);
      }
      y(t, o) = rounded_to_bf16(acc + 0.0F);
    }
  }
  return y;
}

PlainMatrix input_gradient(const Codes& dy, const Codes& w) {
  Codes turned{PlainMatrix(w.codes.cols, w.codes.rows()),
               PlainMatrix(w.codes.cols, w.codes.rows())};
  for (std::size_t o = 0; o < w.codes.rows(); ++o) {
    for (std::size_t i = 0; i < w.codes.cols; ++i) {
      turned.codes(i, o) = w.codes(o, i);
      turned.scales(i, o) = w.scales(o, i);
    }
  }
  return forward_product(dy, turned);
}

PlainMatrix weight_gradient(const Codes& dy, const Codes& x, const RowBlocks& blocks,
                            std::size_t begin, std::size_t end) {
  PlainMatrix dw(dy.codes.cols, x.codes.cols);
  for (std::size_t o = 0; o < dw.rows(); ++o) {
    for (std::size_t i = 0; i < dw.cols; ++i) {
      float acc = 0;
      for (std::size_t t = begin; t < end;) {
        const float s = dy.scales(t, o) * x.scales(t, i);
        float chain = 0;
        for (const std::size_t block = blocks[t]; t < end && blocks[t] == block; ++t)
          chain = std::fma(dy.codes(t, o), x.codes(t, i), chain);
        acc = std::fma(chain, s, acc);
      }
      dw(o, i) = acc + 0.0F;
    }
  }
  return dw;
}

}  // namespace moray::test
