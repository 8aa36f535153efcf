#pragma once

/// The implementations behind quantize.hpp, with its contract: one namespace a variant.

#include "kernels/quantize/quantize.hpp"
#include "kernels/quantize/quantize_host.hpp"

namespace moray::portable {

void quantize_tokens(const ExecSpace& exec, Matrix<const float> x, ScaleRule rule,
                     const Quantized& out);
void quantize_channels(const ExecSpace& exec, Matrix<const float> x, Vector<const RowBlock> blocks,
                       ScaleRule rule, Layout layout, const Quantized& out);
void requantize_channels(const ExecSpace& exec, const Quantized& in, std::int64_t columns,
                         Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                         const Quantized& out);
void quantize_weights(const ExecSpace& exec, Matrix<const float> w, ScaleRule rule,
                      const Quantized& out);
void dequantize_tokens(const ExecSpace& exec, const Quantized& in, Matrix<float> x);
void dequantize_channels(const ExecSpace& exec, const Quantized& in, Vector<const RowBlock> blocks,
                         Layout layout, Matrix<float> x);
void dequantize_weights(const ExecSpace& exec, const Quantized& in, Matrix<float> w);
void swiglu_quantize_tokens(const ExecSpace& exec, Matrix<const float> gu, Vector<const float> w,
                            ScaleRule rule, const Quantized& out);
void rmsnorm_quantize_tokens(const ExecSpace& exec, Matrix<const float> x,
                             Vector<const float> gamma, float eps, ScaleRule rule, Matrix<float> y,
                             Vector<float> r, const Quantized& out);
void to_bf16(const ExecSpace& exec, Matrix<const float> x, Matrix<std::uint16_t> codes);
void from_bf16(const ExecSpace& exec, Matrix<const std::uint16_t> codes, Matrix<float> x);
void round_to_bf16(const ExecSpace& exec, Matrix<float> x);

}  // namespace moray::portable

/// The micro-kernels of one instruction set, spread over the threads of the host backend.
namespace moray::host {

void quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
                     ScaleRule rule, const Quantized& out);
void quantize_channels(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
                       Vector<const RowBlock> blocks, ScaleRule rule, Layout layout,
                       const Quantized& out);
void requantize_channels(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                         std::int64_t columns, Vector<const RowBlock> blocks, ScaleRule rule,
                         Layout layout, const Quantized& out);
void quantize_weights(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> w,
                      ScaleRule rule, const Quantized& out);
void dequantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                       Matrix<float> x);
void dequantize_channels(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                         Vector<const RowBlock> blocks, Layout layout, Matrix<float> x);
void dequantize_weights(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                        Matrix<float> w);
void swiglu_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels,
                            Matrix<const float> gu, Vector<const float> w, ScaleRule rule,
                            const Quantized& out);
void swiglu_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels, const Quantized& in,
                            Matrix<float> gu, Vector<const float> w, ScaleRule rule,
                            const Quantized& out);
void rmsnorm_quantize_tokens(const ExecSpace& exec, const HostQuantize& kernels,
                             Matrix<const float> x, Vector<const float> gamma, float eps,
                             ScaleRule rule, Matrix<float> y, Vector<float> r,
                             const Quantized& out);
void to_bf16(const ExecSpace& exec, const HostQuantize& kernels, Matrix<const float> x,
             Matrix<std::uint16_t> codes);
void from_bf16(const ExecSpace& exec, const HostQuantize& kernels,
               Matrix<const std::uint16_t> codes, Matrix<float> x);
void round_to_bf16(const ExecSpace& exec, const HostQuantize& kernels, Matrix<float> x);

}  // namespace moray::host
