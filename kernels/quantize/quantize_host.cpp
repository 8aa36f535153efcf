// Rows of 1 x 128 blocks for one instruction set; the definition is in quantize.hpp.
#include "kernels/quantize/quantize_host.hpp"

#include "kernels/quantize/quantize_host_blocks.hpp"
#include "kernels/quantize/quantize_host_codes.hpp"

namespace moray::MORAY_ISA {
namespace {

/// One block of n <= 128 values: they stay in registers between the search for the largest and their
/// encoding.
template <class Format>
MORAY_FUNCTION void quantize_block(ScaleRule rule, int n, const float* x, std::uint8_t* codes,
                                   float* scale) {
  Float value[kBlockVectors];
  Codes best{};
#pragma GCC unroll 16
  for (int v = 0; v < kBlockVectors; ++v) {
    const int j = v * Float::kLanes;
    value[v] = j < n ? stream(x + j, n - j) : Float::zero();
    best = larger(magnitude_bits(value[v]), best);
  }
  const BlockScale chosen = block_scale(largest_lane(best), Format::kLargestValue, rule);
  *scale = chosen.scale;
  const Float inverse = Float::broadcast(chosen.inverse);
  with_encoder<Format>(
      is_number(chosen.scale), [&](const auto& encode) __attribute__((always_inline)) {
#pragma GCC unroll 16
        for (int v = 0; v < kBlockVectors; ++v) {
          const int j = v * Float::kLanes;
          if (j >= n) break;
          using Memory = CodeMemory<Format>;
          Memory::store(codes + Memory::offset(j), encode(value[v] * inverse), n - j);
        }
      });
}

/// Not inlined: the fused forms call it for each block.
__attribute__((noinline)) MORAY_HOST_KERNEL void tokens(CodeType type, ScaleRule rule,
                                                        std::int64_t width, const float* x,
                                                        std::uint8_t* codes, float* scales) {
  with_format(type, [=](auto format) {
    using Format = decltype(format);
    std::int64_t begin = 0;
    float* scale = scales;
    for (; begin + kScaleBlock <= width; begin += kScaleBlock, ++scale) {
      std::uint8_t* to = codes + CodeMemory<Format>::offset(begin);
      quantize_block<Format>(rule, static_cast<int>(kScaleBlock), x + begin, to, scale);
    }
    if (begin == width) return;
    std::uint8_t* to = codes + CodeMemory<Format>::offset(begin);
    quantize_block<Format>(rule, static_cast<int>(width - begin), x + begin, to, scale);
  });
}

/// Quantises a row that value(j, count) gives, in pieces of several blocks through a tile that stays in
/// the first-level cache.
template <class Value>
MORAY_FUNCTION void tokens_of(CodeType type, ScaleRule rule, std::int64_t width, const Value& value,
                              std::uint8_t* codes, float* scales) {
  constexpr std::int64_t kPiece = 8 * kScaleBlock;
  alignas(64) float tile[kPiece];
  for (std::int64_t begin = 0; begin < width; begin += kPiece) {
    const std::int64_t n = width - begin < kPiece ? width - begin : kPiece;
    vector_loop(n, [&](std::int64_t j, int count) { value(begin + j, count).store(tile + j); });
    std::uint8_t* to = codes + (type == CodeType::e5m6 ? CodeMemory<E5m6>::offset(begin) : begin);
    tokens(type, rule, n, tile, to, scales + begin / kScaleBlock);
  }
}

MORAY_HOST_KERNEL void swiglu_tokens(CodeType type, ScaleRule rule, std::int64_t width,
                                     const float* g, const float* u, const float* weight,
                                     std::uint8_t* codes, float* scales) {
  const auto activation = [=](std::int64_t j, int count) {
    return silu(stream(g + j, count)) * stream(u + j, count);
  };
  if (weight == nullptr) return tokens_of(type, rule, width, activation, codes, scales);
  const Float w = Float::broadcast(*weight);
  tokens_of(
      type, rule, width, [=](std::int64_t j, int count) { return activation(j, count) * w; }, codes,
      scales);
}

MORAY_HOST_KERNEL float rmsnorm_tokens(CodeType type, ScaleRule rule, std::int64_t width,
                                       const float* x, const float* gamma, float eps, float* y,
                                       std::uint8_t* codes, float* scales) {
  const float sum = row_product_sum(width, x, x);
  const float r = 1.0F / __builtin_sqrtf(sum / static_cast<float>(width) + eps);
  const Float inverse = Float::broadcast(r);
  const auto normed = [=](std::int64_t j, int count) {
    const Float value = (Float::load(x + j, count) * inverse) * Float::load(gamma + j, count);
    if (y != nullptr) value.store(y + j, count);
    return value;
  };
  tokens_of(type, rule, width, normed, codes, scales);
  return r;
}

/// decode(code) scale(j, count) for a row.
template <class Scale>
MORAY_FUNCTION void decode_row(CodeType type, std::int64_t width, const std::uint8_t* codes,
                               const Scale& scale, float* x) {
  with_format(type, [&](auto format) {
    using Format = decltype(format);
    using Memory = CodeMemory<Format>;
    vector_loop(width, [&](std::int64_t j, int count) {
      fetch_ahead(codes + Memory::offset(j));
      const Codes code = Memory::load(codes + Memory::offset(j), count);
      (decode_small<Format>(code) * scale(j, count)).store(x + j, count);
    });
  });
}

MORAY_HOST_KERNEL void decode_tokens(CodeType type, std::int64_t width, const std::uint8_t* codes,
                                     const float* scales, float* x) {
  decode_row(
      type, width, codes,
      [=](std::int64_t j, int) { return Float::broadcast(scales[j / kScaleBlock]); }, x);
}

MORAY_HOST_KERNEL void decode_columns(CodeType type, std::int64_t width, const std::uint8_t* codes,
                                      const float* scales, float* x) {
  decode_row(
      type, width, codes, [=](std::int64_t j, int count) { return Float::load(scales + j, count); },
      x);
}

MORAY_HOST_KERNEL void to_bf16(std::int64_t width, const float* x, std::uint16_t* codes) {
  vector_loop(width, [=](std::int64_t j, int count) {
    store_bf16(codes + j, stream(x + j, count), count);
  });
}

MORAY_HOST_KERNEL void from_bf16(std::int64_t width, const std::uint16_t* codes, float* x) {
  vector_loop(width, [=](std::int64_t j, int count) {
    fetch_ahead(codes + j);
    load_bf16(codes + j, count).store(x + j, count);
  });
}

MORAY_HOST_KERNEL void round_to_bf16(std::int64_t width, float* x) {
  vector_loop(width, [=](std::int64_t j, int count) {
    to_nearest_bf16(stream(x + j, count)).store(x + j, count);
  });
}

}  // namespace

extern const HostQuantize host_quantize;
const HostQuantize host_quantize = {tokens,
                                    swiglu_tokens,
                                    rmsnorm_tokens,
                                    decode_tokens,
                                    decode_columns,
                                    quantize_channels,
                                    quantize_channels_of_codes,
                                    quantize_weights,
                                    to_bf16,
                                    from_bf16,
                                    round_to_bf16};

}  // namespace moray::MORAY_ISA
