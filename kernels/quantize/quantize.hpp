#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix.hpp"
#include "kernels/quantize/quantize_rule.hpp"

/// Quantisation with a scale for each block of values, docs/fp8.md section 2. For each block, in
/// float32, with L the largest value of the code type:
///
///   a = max(largest |x|, float32(1e-4));  s = a / L
///   rule float32:       f = L / a
///   rule power_of_two:  s = the least power of two >= s;  f = 1 / s
///   code = encode(x f);  value = decode(code) s
///
/// A block that holds an infinity or a NaN gets the scale NaN and the NaN code everywhere, so that
/// what went wrong is seen and not saturated. Every function reads its input once and reads and
/// writes nothing else of that size. One line defines every bit: no variant, thread or tile shows.
namespace moray {

/// Codes and their scales, in memory of the backend, not owned. Codes are rows of bytes: one a value
/// in E4M3 and E5M2; in E5M6 twelve for eight values, the last group filled with +0.
struct Quantized {
  CodeType type = CodeType::e4m3;
  Matrix<std::uint8_t> codes;  ///< (rows, code_bytes(type, columns))
  Matrix<float> scales;        ///< by blocks, as each function says
};

/// Bytes of a row of `columns` codes.
constexpr std::int64_t code_bytes(CodeType type, std::int64_t columns) {
  return type == CodeType::e5m6 ? (columns + 7) / 8 * 12 : columns;
}
/// Blocks of `columns` values along a row; the last one may be shorter.
constexpr std::int64_t scale_blocks(std::int64_t columns) {
  return (columns + kScaleBlock - 1) / kScaleBlock;
}

/// Adds the blocks of `count` rows from `begin` on: those of one sequence.
void append_row_blocks(std::int64_t begin, std::int64_t count, std::vector<RowBlock>& blocks);

/// How codes with a scale for each channel lie. `rows`: as the values, codes (T, C), scales (B, C) of
/// B row blocks. `transposed`: codes (C, T), scales (C, B), so that a block is 128 bytes in a row.
enum class Layout { rows, transposed };

/// 1 x 128, activations and their gradients: x (T, C), scales (T, ceil(C / 128)).
void quantize_tokens(const ExecSpace& exec, Matrix<const float> x, ScaleRule rule,
                     const Quantized& out);

/// 128 x 1, for weight gradients: x (T, C). Rows that lie in no block are not written. E4M3 or E5M2.
void quantize_channels(const ExecSpace& exec, Matrix<const float> x, Vector<const RowBlock> blocks,
                       ScaleRule rule, Layout layout, const Quantized& out);

/// The same from codes of quantize_tokens: the values are decode(code) s, rounded to float32. `in`
/// has C columns, of any code type.
void requantize_channels(const ExecSpace& exec, const Quantized& in, std::int64_t columns,
                         Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                         const Quantized& out);

/// 128 x 128, weights: w (N, K), scales (ceil(N / 128), ceil(K / 128)). E4M3 or E5M2.
void quantize_weights(const ExecSpace& exec, Matrix<const float> w, ScaleRule rule,
                      const Quantized& out);

/// x = decode(code) s, rounded to float32, of each form. In dequantize_channels x lies as the codes,
/// (T, C) or (C, T).
void dequantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> x);
void dequantize_channels(const ExecSpace& exec, const Quantized& in, Vector<const RowBlock> blocks,
                         Layout layout, Matrix<float> x);
void dequantize_weights(const ExecSpace& exec, const Quantized& in, Matrix<float> w);

/// The bits of swiglu_forward followed by quantize_tokens, without the activation in memory:
/// gu (T, 2 F) = [gate | up], w (T) or empty (kernels/swiglu/swiglu.hpp).
void swiglu_quantize_tokens(const ExecSpace& exec, Matrix<const float> gu, Vector<const float> w,
                            ScaleRule rule, const Quantized& out);

/// The same of gu's codes: the bits of dequantize_tokens(in, gu) followed by it. gu is room: what is in it
/// afterwards is not defined.
void swiglu_quantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> gu,
                            Vector<const float> w, ScaleRule rule, const Quantized& out);

/// The bits of rmsnorm_forward followed by quantize_tokens. r (T) is kept for the backward; y (T, W)
/// is written too where somebody reads it unquantised, else empty.
void rmsnorm_quantize_tokens(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const float> gamma, float eps, ScaleRule rule, Matrix<float> y,
                             Vector<float> r, const Quantized& out);

}  // namespace moray
