#include "kernels/host/host_rows.hpp"
#include "kernels/quantize/decoded_halves.hpp"
#include "kernels/quantize/quantize_variants.hpp"

namespace moray::host {
namespace {

/// Where the strip of block b from column j on goes.
HostChannels channels_at(const Quantized& out, Layout layout, std::int64_t b, RowBlock block,
                         std::int64_t j) {
  if (layout == Layout::rows) {
    return {&out.codes(block.begin, j), out.codes.stride, 1, &out.scales(b, j), 1};
  }
  return {&out.codes(j, block.begin), 1, out.codes.stride, &out.scales(j, b), out.scales.stride};
}

/// body(b, j, width) for every row block and strip of columns.
template <class Body>
void host_strips(const std::string& label, const ExecSpace& exec, std::int64_t blocks,
                 std::int64_t columns, const Body& body) {
  const std::int64_t strips = (columns + kHostStrip - 1) / kHostStrip;
  host_tiles(label, exec, blocks * strips, [=](std::int64_t tile) {
    const std::int64_t j = tile % strips * kHostStrip;
    body(tile / strips, j, columns - j < kHostStrip ? columns - j : kHostStrip);
  });
}

}  // namespace

void quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
                     ScaleRule rule, const Quantized& out) {
  static const std::string label = "moray::quantize::tokens_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    kernels.tokens(out.type, rule, x.cols, x.row(t), out.codes.row(t), out.scales.row(t));
  });
}

void quantize_channels(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
                       Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                       const Quantized& out) {
  static const std::string label = "moray::quantize::channels_host";
  host_strips(label, exec, blocks.size, x.cols,
              [=](std::int64_t b, std::int64_t j, std::int64_t width) {
                const RowBlock block = blocks[b];
                kernels.channels(out.type, rule, block.count, width, &x(block.begin, j), x.stride,
                                 channels_at(out, layout, b, block, j));
              });
}

void requantize_channels(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                         std::int64_t columns, Vector<const RowBlock> blocks, ScaleRule rule,
                         Layout layout, const Quantized& out) {
  static const std::string label = "moray::quantize::channels_of_codes_host";
  host_strips(label, exec, blocks.size, columns,
              [=](std::int64_t b, std::int64_t j, std::int64_t width) {
                const RowBlock block = blocks[b];
                kernels.channels_of_codes(in.type, out.type, rule, block.count, width,
                                          &in.codes(block.begin, code_bytes(in.type, j)),
                                          in.codes.stride, &in.scales(block.begin, j / kScaleBlock),
                                          in.scales.stride, channels_at(out, layout, b, block, j));
              });
}

void quantize_weights(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> w,
                      ScaleRule rule, const Quantized& out) {
  static const std::string label = "moray::quantize::weights_host";
  const std::int64_t across = scale_blocks(w.cols);
  host_tiles(label, exec, scale_blocks(w.rows) * across, [=](std::int64_t tile) {
    const std::int64_t i = tile / across * kScaleBlock;
    const std::int64_t j = tile % across * kScaleBlock;
    const std::int64_t rows = w.rows - i < kScaleBlock ? w.rows - i : kScaleBlock;
    const std::int64_t width = w.cols - j < kScaleBlock ? w.cols - j : kScaleBlock;
    kernels.weights(out.type, rule, rows, width, &w(i, j), w.stride, &out.codes(i, j),
                    out.codes.stride, &out.scales(tile / across, tile % across));
  });
}

void dequantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                       Matrix<float> x) {
  static const std::string label = "moray::quantize::decode_tokens_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    kernels.decode_tokens(in.type, x.cols, in.codes.row(t), in.scales.row(t), x.row(t));
  });
}

void dequantize_channels(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                         Vector<const RowBlock> blocks, Layout layout, Matrix<float> x) {
  static const std::string label = "moray::quantize::decode_channels_host";
  host_tiles(label, exec, blocks.size, [=](std::int64_t b) {
    const RowBlock block = blocks[b];
    if (layout == Layout::rows) {
      for (std::int64_t t = block.begin; t < block.begin + block.count; ++t) {
        kernels.decode_columns(in.type, x.cols, in.codes.row(t), in.scales.row(b), x.row(t));
      }
      return;
    }
    for (std::int64_t j = 0; j < x.rows; ++j) {
      kernels.decode_tokens(in.type, block.count, &in.codes(j, block.begin), &in.scales(j, b),
                            &x(j, block.begin));
    }
  });
}

void dequantize_weights(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                        Matrix<float> w) {
  static const std::string label = "moray::quantize::decode_weights_host";
  host_rows(label, exec, w.rows, [=](std::int64_t i) {
    kernels.decode_tokens(in.type, w.cols, in.codes.row(i), in.scales.row(i / kScaleBlock),
                          w.row(i));
  });
}

void swiglu_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels,
                            Matrix<const float> gu, Vector<const float> w, ScaleRule rule,
                            const Quantized& out) {
  static const std::string label = "moray::quantize::swiglu_tokens_host";
  const std::int64_t width = gu.cols / 2;
  host_rows(label, exec, gu.rows, [=](std::int64_t t) {
    const float* weight = w.size == 0 ? nullptr : &w[t];
    kernels.swiglu_tokens(out.type, rule, width, gu.row(t), gu.row(t) + width, weight,
                          out.codes.row(t), out.scales.row(t));
  });
}

void swiglu_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                            Matrix<float> gu, Vector<const float> w, ScaleRule rule,
                            const Quantized& out) {
  static const std::string label = "moray::quantize::swiglu_tokens_of_codes_host";
  host_rows(label, exec, gu.rows, [=](std::int64_t t) {
    const float* weight = w.size == 0 ? nullptr : &w[t];
    for_decoded_halves(kernels, in, t, gu.row(t), gu.cols / 2,
                       [=](std::int64_t j, std::int64_t count, const float* g, const float* u) {
                         kernels.swiglu_tokens(out.type, rule, count, g, u, weight,
                                               out.codes.row(t) + code_bytes(out.type, j),
                                               out.scales.row(t) + j / kScaleBlock);
                       });
  });
}

void rmsnorm_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels,
                             Matrix<const float> x, Vector<const float> gamma, float eps,
                             ScaleRule rule, Matrix<float> y, Vector<float> r,
                             const Quantized& out) {
  static const std::string label = "moray::quantize::rmsnorm_tokens_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    float* unquantized = y.data == nullptr ? nullptr : y.row(t);
    r[t] = kernels.rmsnorm_tokens(out.type, rule, x.cols, x.row(t), gamma.data, eps, unquantized,
                                  out.codes.row(t), out.scales.row(t));
  });
}

void to_bf16(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
             Matrix<std::uint16_t> codes) {
  static const std::string label = "moray::quantize::to_bf16_host";
  host_rows(label, exec, x.rows,
            [=](std::int64_t i) { kernels.to_bf16(x.cols, x.row(i), codes.row(i)); });
}

void from_bf16(const ExecSpace& exec, const HostQuantize& kernels,
               Matrix<const std::uint16_t> codes, Matrix<float> x) {
  static const std::string label = "moray::quantize::from_bf16_host";
  host_rows(label, exec, x.rows,
            [=](std::int64_t i) { kernels.from_bf16(x.cols, codes.row(i), x.row(i)); });
}

void round_to_bf16(const ExecSpace& exec, const HostQuantize& kernels, Matrix<float> x) {
  static const std::string label = "moray::quantize::round_to_bf16_host";
  host_rows(label, exec, x.rows, [=](std::int64_t i) { kernels.round_to_bf16(x.cols, x.row(i)); });
}

}  // namespace moray::host
