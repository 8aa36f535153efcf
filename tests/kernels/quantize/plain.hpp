#pragma once

/// The definition of docs/fp8.md section 2, written again for one value after the other, and what its
/// tests share.

#include <vector>

#include "catch.hpp"
#include "kernels/quantize/quantize.hpp"
#include "kernels/tensor.hpp"

namespace moray::test {

/// Codes and scales that a test owns; bytes that a kernel must not touch are compared too.
struct Stored {
  Stored(CodeType code_type, std::int64_t rows, std::int64_t columns, std::int64_t scale_rows,
         std::int64_t scale_cols, std::int64_t gap = 0)
      : type(code_type),
        codes(rows, code_bytes(code_type, columns), 4 * gap),
        scales(scale_rows, scale_cols, gap) {
    codes.fill_with(0xa5);
    scales.fill_with(-7.0F);
  }
  Quantized host() { return {type, codes.host(), scales.host()}; }
  Quantized device() { return {type, codes.device(), scales.device()}; }
  void fetch() {
    finish(ExecSpace());
    codes.fetch();
    scales.fetch();
  }
  bool same_bits(const Stored& other) const {
    return codes.same_bits(other.codes) && scales.same_bits(other.scales);
  }

  CodeType type;
  Tensor<std::uint8_t> codes;
  Tensor<float> scales;
};

/// Storage of each form, for (T, C) values.
Stored tokens_of(CodeType type, std::int64_t rows, std::int64_t columns, std::int64_t gap = 0);
Stored channels_of(CodeType type, std::int64_t rows, std::int64_t columns,
                   const std::vector<RowBlock>& blocks, Layout layout, std::int64_t gap = 0);
Stored weights_of(CodeType type, std::int64_t rows, std::int64_t columns, std::int64_t gap = 0);

/// The blocks of sequences of these lengths, one after the other from row `begin` on.
std::vector<RowBlock> blocks_of(std::int64_t begin, const std::vector<std::int64_t>& lengths);
Tensor<RowBlock> block_tensor(const std::vector<RowBlock>& blocks);

void plain_tokens(Matrix<const float> x, ScaleRule rule, const Quantized& out);
void plain_channels(Matrix<const float> x, const std::vector<RowBlock>& blocks, ScaleRule rule,
                    Layout layout, const Quantized& out);
void plain_weights(Matrix<const float> w, ScaleRule rule, const Quantized& out);
/// The value of element (i, j) of codes whose scale is given.
float plain_value(const Quantized& in, std::int64_t i, std::int64_t j, float scale);

inline const std::vector<CodeType> kCodeTypes = {CodeType::e4m3, CodeType::e5m2, CodeType::e5m6};
inline const std::vector<CodeType> kByteTypes = {CodeType::e4m3, CodeType::e5m2};
inline const std::vector<ScaleRule> kScaleRules = {ScaleRule::float32, ScaleRule::power_of_two};
inline const std::vector<Layout> kLayouts = {Layout::rows, Layout::transposed};

}  // namespace moray::test
