#include <cmath>

#include "kernels/functions/functions.hpp"
#include "kernels/functions/row_reduction.hpp"
#include "kernels/quantize/quantize_variants.hpp"

namespace moray::portable {
namespace {

KOKKOS_INLINE_FUNCTION std::uint32_t encode(CodeType type, float value) {
  return type == CodeType::e4m3   ? e4m3_encode(value)
         : type == CodeType::e5m2 ? e5m2_encode(value)
                                  : e5m6_encode(value);
}

/// Code i of a row of codes, as a value.
KOKKOS_INLINE_FUNCTION float decode_at(CodeType type, const std::uint8_t* row, std::int64_t i) {
  if (type == CodeType::e4m3) return e4m3_decode(row[i]);
  if (type == CodeType::e5m2) return e5m2_decode(row[i]);
  std::uint32_t word[3], code[8];
  const std::uint8_t* group = row + i / 8 * 12;
  for (int w = 0; w < 3; ++w) __builtin_memcpy(&word[w], group + 4 * w, 4);
  e5m6_unpack(word, code);
  return e5m6_decode(static_cast<std::uint16_t>(code[i % 8]));
}

KOKKOS_INLINE_FUNCTION std::int32_t magnitude_bits(float x) {
  return ScalarLanes::bits(x) & 0x7fffffff;
}

/// Codes of values [begin, end) of a row, begin a multiple of 8, from value(i) times `inverse`.
template <class Value>
KOKKOS_INLINE_FUNCTION void encode_row(CodeType type, std::int64_t begin, std::int64_t end,
                                       float inverse, const Value& value, std::uint8_t* row) {
  if (type != CodeType::e5m6) {
    for (std::int64_t i = begin; i < end; ++i) {
      row[i] = static_cast<std::uint8_t>(encode(type, value(i) * inverse));
    }
    return;
  }
  for (std::int64_t i = begin; i < end; i += 8) {
    std::uint32_t word[3], code[8];
    for (int k = 0; k < 8; ++k) code[k] = i + k < end ? e5m6_encode(value(i + k) * inverse) : 0;
    e5m6_pack(code, word);
    for (int w = 0; w < 3; ++w) __builtin_memcpy(row + i / 8 * 12 + 4 * w, &word[w], 4);
  }
}

/// A block of 1 x 128: values value(i) of a row, i in [128 b, end).
template <class Value>
KOKKOS_INLINE_FUNCTION void quantize_block(ScaleRule rule, std::int64_t columns, std::int64_t t,
                                           std::int64_t b, const Value& value,
                                           const Quantized& out) {
  const std::int64_t begin = b * kScaleBlock;
  const std::int64_t end = begin + kScaleBlock < columns ? begin + kScaleBlock : columns;
  std::int32_t amax = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const std::int32_t bits = magnitude_bits(value(i));
    amax = bits > amax ? bits : amax;
  }
  const BlockScale chosen = block_scale(amax, largest_value(out.type), rule);
  out.scales(t, b) = chosen.scale;
  encode_row(out.type, begin, end, chosen.inverse, value, out.codes.row(t));
}

/// A block of 128 x 1: values value(t) of channel j.
template <class Value>
KOKKOS_INLINE_FUNCTION void quantize_channel(ScaleRule rule, RowBlock block, std::int64_t b,
                                             std::int64_t j, Layout layout, const Value& value,
                                             const Quantized& out) {
  std::int32_t amax = 0;
  for (std::int64_t t = block.begin; t < block.begin + block.count; ++t) {
    const std::int32_t bits = magnitude_bits(value(t));
    amax = bits > amax ? bits : amax;
  }
  const BlockScale chosen = block_scale(amax, largest_value(out.type), rule);
  const bool rows = layout == Layout::rows;
  (rows ? out.scales(b, j) : out.scales(j, b)) = chosen.scale;
  for (std::int64_t t = block.begin; t < block.begin + block.count; ++t) {
    const auto code = static_cast<std::uint8_t>(encode(out.type, value(t) * chosen.inverse));
    (rows ? out.codes(t, j) : out.codes(j, t)) = code;
  }
}

}  // namespace

void quantize_tokens(const ExecSpace& exec, Matrix<const float> x, ScaleRule rule,
                     const Quantized& out) {
  static const std::string label = "moray::quantize::tokens";
  const std::int64_t blocks = out.scales.cols;
  const Quantized to = out;
  parallel_for(
      label, exec, x.rows * blocks, KOKKOS_LAMBDA(const std::int64_t item) {
        const float* row = x.row(item / blocks);
        quantize_block(
            rule, x.cols, item / blocks, item % blocks, [=](std::int64_t i) { return row[i]; }, to);
      });
}

void quantize_channels(const ExecSpace& exec, Matrix<const float> x, Vector<const RowBlock> blocks,
                       ScaleRule rule, Layout layout, const Quantized& out) {
  static const std::string label = "moray::quantize::channels";
  const Quantized to = out;
  parallel_for(
      label, exec, blocks.size * x.cols, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t b = item / x.cols, j = item % x.cols;
        quantize_channel(
            rule, blocks[b], b, j, layout, [=](std::int64_t t) { return x(t, j); }, to);
      });
}

void requantize_channels(const ExecSpace& exec, const Quantized& in, std::int64_t columns,
                         Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                         const Quantized& out) {
  static const std::string label = "moray::quantize::channels_of_codes";
  const Quantized from = in, to = out;
  parallel_for(
      label, exec, blocks.size * columns, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t b = item / columns, j = item % columns;
        const auto value = [=](std::int64_t t) {
          return decode_at(from.type, from.codes.row(t), j) * from.scales(t, j / kScaleBlock);
        };
        quantize_channel(rule, blocks[b], b, j, layout, value, to);
      });
}

void quantize_weights(const ExecSpace& exec, Matrix<const float> w, ScaleRule rule,
                      const Quantized& out) {
  static const std::string label = "moray::quantize::weights";
  const std::int64_t across = out.scales.cols;
  const Quantized to = out;
  parallel_for(
      label, exec, out.scales.rows * across, KOKKOS_LAMBDA(const std::int64_t tile) {
        const std::int64_t i = tile / across * kScaleBlock, j = tile % across * kScaleBlock;
        const std::int64_t bottom = i + kScaleBlock < w.rows ? i + kScaleBlock : w.rows;
        const std::int64_t right = j + kScaleBlock < w.cols ? j + kScaleBlock : w.cols;
        std::int32_t amax = 0;
        for (std::int64_t r = i; r < bottom; ++r) {
          for (std::int64_t c = j; c < right; ++c) {
            const std::int32_t bits = magnitude_bits(w(r, c));
            amax = bits > amax ? bits : amax;
          }
        }
        const BlockScale chosen = block_scale(amax, largest_value(to.type), rule);
        to.scales(tile / across, tile % across) = chosen.scale;
        for (std::int64_t r = i; r < bottom; ++r) {
          const float* row = w.row(r);
          encode_row(
              to.type, j, right, chosen.inverse, [=](std::int64_t c) { return row[c]; },
              to.codes.row(r));
        }
      });
}

void dequantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> x) {
  static const std::string label = "moray::quantize::decode_tokens";
  const Quantized from = in;
  parallel_for(
      label, exec, x.rows * x.cols, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t t = item / x.cols, j = item % x.cols;
        x(t, j) = decode_at(from.type, from.codes.row(t), j) * from.scales(t, j / kScaleBlock);
      });
}

void dequantize_channels(const ExecSpace& exec, const Quantized& in, Vector<const RowBlock> blocks,
                         Layout layout, Matrix<float> x) {
  static const std::string label = "moray::quantize::decode_channels";
  const Quantized from = in;
  const bool rows = layout == Layout::rows;
  const std::int64_t channels = rows ? x.cols : x.rows;
  parallel_for(
      label, exec, blocks.size * channels, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t b = item / channels, j = item % channels;
        const RowBlock block = blocks[b];
        const float scale = rows ? from.scales(b, j) : from.scales(j, b);
        for (std::int64_t t = block.begin; t < block.begin + block.count; ++t) {
          const std::uint8_t* codes = from.codes.row(rows ? t : j);
          (rows ? x(t, j) : x(j, t)) = decode_at(from.type, codes, rows ? j : t) * scale;
        }
      });
}

void dequantize_weights(const ExecSpace& exec, const Quantized& in, Matrix<float> w) {
  static const std::string label = "moray::quantize::decode_weights";
  const Quantized from = in;
  parallel_for(
      label, exec, w.rows * w.cols, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t i = item / w.cols, j = item % w.cols;
        const float scale = from.scales(i / kScaleBlock, j / kScaleBlock);
        w(i, j) = decode_at(from.type, from.codes.row(i), j) * scale;
      });
}

void swiglu_quantize_tokens(const ExecSpace& exec, Matrix<const float> gu, Vector<const float> w,
                            ScaleRule rule, const Quantized& out) {
  static const std::string label = "moray::quantize::swiglu_tokens";
  const std::int64_t width = gu.cols / 2, blocks = out.scales.cols;
  const Quantized to = out;
  parallel_for(
      label, exec, gu.rows * blocks, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t t = item / blocks, begin = item % blocks * kScaleBlock;
        const std::int64_t end = begin + kScaleBlock < width ? begin + kScaleBlock : width;
        const float* g = gu.row(t);
        float tile[kScaleBlock];  // silu is not computed twice
        for (std::int64_t j = begin; j < end; ++j) {
          const float a = silu_exact(g[j]) * g[width + j];
          tile[j - begin] = w.size == 0 ? a : a * w[t];
        }
        const float* values = tile;
        quantize_block(
            rule, width, t, item % blocks, [=](std::int64_t j) { return values[j - begin]; }, to);
      });
}

void rmsnorm_quantize_tokens(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const float> gamma, float eps, ScaleRule rule, Matrix<float> y,
                             Vector<float> r, const Quantized& out) {
  static const std::string label = "moray::quantize::rmsnorm_tokens";
  const std::int64_t width = x.cols, blocks = out.scales.cols;
  const Quantized to = out;
  parallel_for(
      label, exec, x.rows, KOKKOS_LAMBDA(const std::int64_t t) {
        const float* row = x.row(t);
        const float* gain = gamma.data;
        const float sum = row_reduction<float>(
            width, [=](std::int64_t j, float c) { return std::fma(row[j], row[j], c); });
        const float inverse = 1.0F / std::sqrt(sum / static_cast<float>(width) + eps);
        r[t] = inverse;
        const auto value = [=](std::int64_t j) { return (row[j] * inverse) * gain[j]; };
        if (y.data != nullptr) {
          for (std::int64_t j = 0; j < width; ++j) y(t, j) = value(j);
        }
        for (std::int64_t b = 0; b < blocks; ++b) quantize_block(rule, width, t, b, value, to);
      });
}

}  // namespace moray::portable
