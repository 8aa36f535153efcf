#pragma once

#include "kernels/quantize/quantize_host.hpp"

/// Functions of HostQuantize that another file of the same instruction set defines.
namespace moray::MORAY_ISA {

void quantize_channels(CodeType type, ScaleRule rule, std::int64_t rows, std::int64_t width,
                       const float* x, std::int64_t stride, HostChannels out);
void quantize_channels_of_codes(CodeType from, CodeType type, ScaleRule rule, std::int64_t rows,
                                std::int64_t width, const std::uint8_t* codes, std::int64_t stride,
                                const float* scales, std::int64_t scale_stride, HostChannels out);
void quantize_weights(CodeType type, ScaleRule rule, std::int64_t rows, std::int64_t width,
                      const float* w, std::int64_t stride, std::uint8_t* codes,
                      std::int64_t code_stride, float* scale);

}  // namespace moray::MORAY_ISA
