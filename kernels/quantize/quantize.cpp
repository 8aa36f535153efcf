#include "kernels/quantize/quantize.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "kernels/host/host_rows.hpp"
#include "kernels/quantize/quantize_variants.hpp"

namespace moray {
namespace {

/// Codes of (rows, columns) values and scales of (scale_rows, scale_cols).
bool fits(const Quantized& q, std::int64_t rows, std::int64_t columns, std::int64_t scale_rows,
          std::int64_t scale_cols) {
  return q.codes.rows == rows && q.codes.cols == code_bytes(q.type, columns) &&
         q.scales.rows == scale_rows && q.scales.cols == scale_cols;
}
bool fits_tokens(const Quantized& q, std::int64_t rows, std::int64_t columns) {
  return fits(q, rows, columns, rows, scale_blocks(columns));
}
/// Of (T, C) values with a scale for each channel.
bool fits_channels(const Quantized& q, std::int64_t rows, std::int64_t columns, std::int64_t blocks,
                   Layout layout) {
  if (q.type == CodeType::e5m6) return false;
  return layout == Layout::rows ? fits(q, rows, columns, blocks, columns)
                                : fits(q, columns, rows, columns, blocks);
}
bool fits_weights(const Quantized& q, std::int64_t rows, std::int64_t columns) {
  return q.type != CodeType::e5m6 &&
         fits(q, rows, columns, scale_blocks(rows), scale_blocks(columns));
}

/// call(kernels) with the micro-kernels that are to run, or portable().
template <class Call, class Portable>
void dispatch(const Call& call, const Portable& portable) {
  if (const HostKernels* host = selected_host_kernels(Op::quantize)) return call(*host->quantize);
  portable();
}

}  // namespace

void append_row_blocks(std::int64_t begin, std::int64_t count, std::vector<RowBlock>& blocks) {
  for (std::int64_t done = 0; done < count; done += kScaleBlock) {
    const std::int64_t rest = std::min(count - done, kScaleBlock);
    blocks.push_back({static_cast<std::int32_t>(begin + done), static_cast<std::int32_t>(rest)});
  }
}

void quantize_tokens(const ExecSpace& exec, Matrix<const float> x, ScaleRule rule,
                     const Quantized& out) {
  MORAY_REQUIRE(fits_tokens(out, x.rows, x.cols));
  dispatch([&](const HostQuantize& host) { host::quantize_tokens(exec, host, x, rule, out); },
           [&] { portable::quantize_tokens(exec, x, rule, out); });
}

void quantize_channels(const ExecSpace& exec, Matrix<const float> x, Vector<const RowBlock> blocks,
                       ScaleRule rule, Layout layout, const Quantized& out) {
  MORAY_REQUIRE(fits_channels(out, x.rows, x.cols, blocks.size, layout));
  dispatch(
      [&](const HostQuantize& host) {
        host::quantize_channels(exec, host, x, blocks, rule, layout, out);
      },
      [&] { portable::quantize_channels(exec, x, blocks, rule, layout, out); });
}

void requantize_channels(const ExecSpace& exec, const Quantized& in, std::int64_t columns,
                         Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                         const Quantized& out) {
  MORAY_REQUIRE(fits_tokens(in, in.codes.rows, columns));
  MORAY_REQUIRE(fits_channels(out, in.codes.rows, columns, blocks.size, layout));
  dispatch(
      [&](const HostQuantize& host) {
        host::requantize_channels(exec, host, in, columns, blocks, rule, layout, out);
      },
      [&] { portable::requantize_channels(exec, in, columns, blocks, rule, layout, out); });
}

void quantize_weights(const ExecSpace& exec, Matrix<const float> w, ScaleRule rule,
                      const Quantized& out) {
  MORAY_REQUIRE(fits_weights(out, w.rows, w.cols));
  dispatch([&](const HostQuantize& host) { host::quantize_weights(exec, host, w, rule, out); },
           [&] { portable::quantize_weights(exec, w, rule, out); });
}

void dequantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> x) {
  MORAY_REQUIRE(fits_tokens(in, x.rows, x.cols));
  dispatch([&](const HostQuantize& host) { host::dequantize_tokens(exec, host, in, x); },
           [&] { portable::dequantize_tokens(exec, in, x); });
}

void dequantize_channels(const ExecSpace& exec, const Quantized& in, Vector<const RowBlock> blocks,
                         Layout layout, Matrix<float> x) {
  const bool rows = layout == Layout::rows;
  MORAY_REQUIRE(
      fits_channels(in, rows ? x.rows : x.cols, rows ? x.cols : x.rows, blocks.size, layout));
  dispatch(
      [&](const HostQuantize& host) {
        host::dequantize_channels(exec, host, in, blocks, layout, x);
      },
      [&] { portable::dequantize_channels(exec, in, blocks, layout, x); });
}

void dequantize_weights(const ExecSpace& exec, const Quantized& in, Matrix<float> w) {
  MORAY_REQUIRE(fits_weights(in, w.rows, w.cols));
  dispatch([&](const HostQuantize& host) { host::dequantize_weights(exec, host, in, w); },
           [&] { portable::dequantize_weights(exec, in, w); });
}

void swiglu_quantize_tokens(const ExecSpace& exec, Matrix<const float> gu, Vector<const float> w,
                            ScaleRule rule, const Quantized& out) {
  MORAY_REQUIRE(gu.cols % 2 == 0 && fits_tokens(out, gu.rows, gu.cols / 2));
  MORAY_REQUIRE(w.size == 0 || w.size == gu.rows);
  dispatch(
      [&](const HostQuantize& host) { host::swiglu_quantize_tokens(exec, host, gu, w, rule, out); },
      [&] { portable::swiglu_quantize_tokens(exec, gu, w, rule, out); });
}

void swiglu_quantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> gu,
                            Vector<const float> w, ScaleRule rule, const Quantized& out) {
  MORAY_REQUIRE(gu.cols % 2 == 0 && fits_tokens(in, gu.rows, gu.cols));
  MORAY_REQUIRE(fits_tokens(out, gu.rows, gu.cols / 2) && (w.size == 0 || w.size == gu.rows));
  dispatch(
      [&](const HostQuantize& host) {
        host::swiglu_quantize_tokens(exec, host, in, gu, w, rule, out);
      },
      [&] {
        portable::dequantize_tokens(exec, in, gu);
        portable::swiglu_quantize_tokens(exec, gu, w, rule, out);
      });
}

void rmsnorm_quantize_tokens(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const float> gamma, float eps, ScaleRule rule, Matrix<float> y,
                             Vector<float> r, const Quantized& out) {
  MORAY_REQUIRE(gamma.size == x.cols && r.size == x.rows && fits_tokens(out, x.rows, x.cols));
  MORAY_REQUIRE(y.data == nullptr || (y.rows == x.rows && y.cols == x.cols));
  dispatch(
      [&](const HostQuantize& host) {
        host::rmsnorm_quantize_tokens(exec, host, x, gamma, eps, rule, y, r, out);
      },
      [&] { portable::rmsnorm_quantize_tokens(exec, x, gamma, eps, rule, y, r, out); });
}

}  // namespace moray
