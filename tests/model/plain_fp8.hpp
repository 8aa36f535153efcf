#pragma once

/// docs/fp8.md sections 2 to 4 in plain code: loops over single values of dense matrices, for tests of
/// what modules make of them. Single codes come from core/fp8.hpp, which core/test_fp8 holds to its
/// definition.

#include <cstddef>
#include <string>
#include <vector>

#include "core/matrix.hpp"
#include "model/precision.hpp"

namespace moray::test {

/// A dense matrix on the host.
struct PlainMatrix {
  PlainMatrix() = default;
  PlainMatrix(std::size_t rows, std::size_t columns) : cols(columns), values(rows * columns) {}

  std::size_t rows() const { return cols == 0 ? 0 : values.size() / cols; }
  float operator()(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
  float& operator()(std::size_t i, std::size_t j) { return values[i * cols + j]; }

  std::size_t cols = 0;
  std::vector<float> values;
};

/// Of x element by element.
template <class Function>
PlainMatrix mapped(const PlainMatrix& x, const Function& function) {
  PlainMatrix out = x;
  for (float& value : out.values) value = function(value);
  return out;
}

float rounded_to_bf16(float x);
PlainMatrix normal_matrix(std::size_t rows, std::size_t cols, unsigned seed);
/// Copies a matrix of the backend.
PlainMatrix on_host(const Matrix<const float>& x);
/// Empty if all bits are the same; else where the first difference is, and how many there are.
std::string difference(const PlainMatrix& found, const PlainMatrix& expected);

/// The block of each row: 128 of them, anew with each run of so many rows.
using RowBlocks = std::vector<std::size_t>;
RowBlocks row_blocks(const std::vector<std::size_t>& runs);

/// What an operand consists of: decoded codes, and the scale of each.
struct Codes {
  PlainMatrix codes, scales;
};
PlainMatrix decoded(const Codes& x);
/// Rows [begin, end); rows in an order.
Codes rows_of(const Codes& x, std::size_t begin, std::size_t end);
Codes rows_of(const Codes& x, const std::vector<std::size_t>& order);

/// 1 x 128 in E4M3 or, with scales of powers of two, in E5M6.
Codes by_token(const PlainMatrix& x, bool power);
Codes by_token_e5m6(const PlainMatrix& x);
/// 128 x 1 and 128 x 128 in E4M3.
Codes by_channel(const PlainMatrix& x, bool power, const RowBlocks& blocks);
Codes by_square(const PlainMatrix& w, bool power);

/// What section 4 makes of the tensors of a Linear. Rows are given as blocks, for ablations.
struct Recipe {
  PrecisionConfig precision;

  bool power() const { return precision.scales == "power_of_two"; }
  /// Values as an ablation rounds them.
  PlainMatrix value(const PlainMatrix& x, const RowBlocks& blocks) const;
  PlainMatrix gradient(const PlainMatrix& dy, const RowBlocks& blocks) const;
  Codes w(const PlainMatrix& values) const;
  Codes x(const PlainMatrix& values, const RowBlocks& blocks) const {
    return by_token(value(values, blocks), power());
  }
  Codes dy(const PlainMatrix& values, const RowBlocks& blocks) const {
    return by_token(gradient(values, blocks), power());
  }
  /// D' of values, and X' (where rows were dispatched, D' too) of 1 x 128 codes.
  Codes dy_channels(const PlainMatrix& values, const RowBlocks& blocks) const {
    return by_channel(gradient(values, blocks), power(), blocks);
  }
  Codes again(const Codes& tokens, const RowBlocks& blocks) const {
    return by_channel(decoded(tokens), power(), blocks);
  }
};

/// bf16(x w^T), bf16(dy w), and dy^T x of the rows [begin, end), float32.
PlainMatrix forward_product(const Codes& x, const Codes& w);
PlainMatrix input_gradient(const Codes& dy, const Codes& w);
PlainMatrix weight_gradient(const Codes& dy, const Codes& x, const RowBlocks& blocks,
                            std::size_t begin, std::size_t end);

}  // namespace moray::test
