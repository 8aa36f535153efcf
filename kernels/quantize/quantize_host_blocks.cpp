// Blocks of several rows for one instruction set: 128 x 1 and 128 x 128; the definition is in
// quantize.hpp. A block's values are read from memory once and wait in a tile of their own, since rows
// that lie a power of two apart would push each other out of a cache.
#include "kernels/quantize/quantize_host_blocks.hpp"

#include "kernels/quantize/quantize_host_codes.hpp"

namespace moray::MORAY_ISA {
namespace {

constexpr int kRows = static_cast<int>(kScaleBlock);
constexpr int kStrip = static_cast<int>(kHostStrip);
constexpr int kStripVectors = kStrip / Float::kLanes;

/// The transpose of 16 x 16 bytes, by four rounds of interleaving row i with row i + 8.
using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
MORAY_FUNCTION void transpose_16(const std::uint8_t* from, std::int64_t stride, Bytes (&row)[16]) {
  for (int i = 0; i < 16; ++i) __builtin_memcpy(&row[i], from + i * stride, 16);
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
    Bytes next[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = __builtin_shufflevector(row[i], row[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                            5, 21, 6, 22, 7, 23);
      next[2 * i + 1] = __builtin_shufflevector(row[i], row[i + 8], 8, 24, 9, 25, 10, 26, 11, 27,
                                                12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) row[i] = next[i];
  }
}

/// Writes a strip of codes, (rows, kStrip) bytes, as its transpose.
MORAY_FUNCTION void store_transposed(const std::uint8_t* strip, int rows, int width,
                                     const HostChannels& out) {
  for (int j = 0; j < width; j += 16) {
    for (int t = 0; t < rows; t += 16) {
      Bytes column[16];
      transpose_16(strip + t * kStrip + j, kStrip, column);
      const int high = rows - t < 16 ? rows - t : 16;
      for (int i = 0; i < 16 && j + i < width; ++i) {
        std::uint8_t* to = out.codes + (j + i) * out.column + t;
        if (high == 16) {
          __builtin_memcpy(to, &column[i], 16);
        } else {
          for (int k = 0; k < high; ++k) to[k] = column[i][k];
        }
      }
    }
  }
}

/// A strip of 128 x 1 blocks between its two passes: values with rows kStrip apart, and for each
/// column the bits of the largest magnitude.
struct Strip {
  alignas(64) float value[kRows * kStrip];
  alignas(64) std::int32_t amax[kStrip];
};

/// x(t, j, count) gives the values of row t from column j on; whole vectors are kept.
template <class Values>
MORAY_FUNCTION void load_strip(int rows, int width, const Values& x, Strip& strip) {
  Codes best[kStripVectors] = {};
  for (int t = 0; t < rows; ++t) {
    for (int v = 0; v < kStripVectors; ++v) {
      const int j = v * Float::kLanes;
      if (j >= width) break;
      const Float value = x(t, j, width - j);
      value.store(strip.value + t * kStrip + j);
      best[v] = larger(magnitude_bits(value), best[v]);
    }
  }
  __builtin_memcpy(strip.amax, best, sizeof(strip.amax));
}

/// Scales and codes of a strip.
template <class Format>
MORAY_FUNCTION void encode_strip(ScaleRule rule, int rows, int width, const Strip& strip,
                                 const HostChannels& out) {
  alignas(64) float inverse[kStrip] = {};
  bool in_range = true;
  for (int j = 0; j < width; ++j) {
    const BlockScale chosen = block_scale(strip.amax[j], Format::kLargestValue, rule);
    out.scales[j * out.scale] = chosen.scale;
    inverse[j] = chosen.inverse;
    in_range = in_range && is_number(chosen.scale);
  }
  with_encoder<Format>(
      in_range, [&](const auto& encode) __attribute__((always_inline)) {
        const auto code = [&](int t, int j) __attribute__((always_inline)) {
          const Float value = Float::load(strip.value + t * kStrip + j);
          return encode(value * Float::load(inverse + j));
        };
        if (out.column == 1) {
          for (int t = 0; t < rows; ++t) {
            for (int j = 0; j < width; j += Float::kLanes) {
              store_bytes(out.codes + t * out.row + j, code(t, j), width - j);
            }
          }
          return;
        }
        alignas(64) std::uint8_t codes[kRows * kStrip];
        __builtin_memset(codes, 0, sizeof(codes));
        for (int t = 0; t < rows; ++t) {
          for (int j = 0; j < width; j += Float::kLanes) {
            store_bytes(codes + t * kStrip + j, code(t, j));
          }
        }
        store_transposed(codes, rows, width, out);
      });
}

/// Not inlined: one copy serves every source of values.
__attribute__((noinline)) MORAY_HOST_KERNEL void encode_strip(CodeType type, ScaleRule rule,
                                                              int rows, int width,
                                                              const Strip& strip,
                                                              const HostChannels& out) {
  with_byte_format(
      type, [&](auto format) { encode_strip<decltype(format)>(rule, rows, width, strip, out); });
}

template <class Values>
MORAY_FUNCTION void quantize_strip(CodeType type, ScaleRule rule, std::int64_t rows,
                                   std::int64_t width, const Values& x, const HostChannels& out) {
  Strip strip;
  const int height = static_cast<int>(rows);
  if (width == kStrip) {
    load_strip(height, kStrip, x, strip);
  } else {
    load_strip(height, static_cast<int>(width), x, strip);
  }
  encode_strip(type, rule, height, static_cast<int>(width), strip, out);
}

}  // namespace

MORAY_HOST_KERNEL void quantize_channels(CodeType type, ScaleRule rule, std::int64_t rows,
                                         std::int64_t width, const float* x, std::int64_t stride,
                                         HostChannels out) {
  quantize_strip(
      type, rule, rows, width,
      [=](int t, int j, int count) {
        const float* from = x + t * stride + j;
        fetch_row_ahead(from, stride);
        return Float::load(from, count);
      },
      out);
}

MORAY_HOST_KERNEL void quantize_channels_of_codes(CodeType from, CodeType type, ScaleRule rule,
                                                  std::int64_t rows, std::int64_t width,
                                                  const std::uint8_t* codes, std::int64_t stride,
                                                  const float* scales, std::int64_t scale_stride,
                                                  HostChannels out) {
  with_format(from, [&](auto format) {
    using Format = decltype(format);
    using Memory = CodeMemory<Format>;
    quantize_strip(
        type, rule, rows, width,
        [=](int t, int j, int count) {
          const std::uint8_t* at = codes + t * stride + Memory::offset(j);
          fetch_row_ahead(at, stride);
          const Codes code = Memory::load(at, count);
          return decode_small<Format>(code) * Float::broadcast(scales[t * scale_stride]);
        },
        out);
  });
}

MORAY_HOST_KERNEL void quantize_weights(CodeType type, ScaleRule rule, std::int64_t rows,
                                        std::int64_t width, const float* w, std::int64_t stride,
                                        std::uint8_t* codes, std::int64_t code_stride,
                                        float* scale) {
  alignas(64) float tile[kRows * kScaleBlock];
  Codes best{};
  for (std::int64_t i = 0; i < rows; ++i) {
    vector_loop(width, [&](std::int64_t j, int count) {
      const float* from = w + i * stride + j;
      fetch_row_ahead(from, stride);
      const Float value = Float::load(from, count);
      value.store(tile + i * kScaleBlock + j);
      best = larger(magnitude_bits(value), best);
    });
  }
  with_byte_format(type, [&](auto format) {
    using Format = decltype(format);
    const BlockScale chosen = block_scale(largest_lane(best), Format::kLargestValue, rule);
    *scale = chosen.scale;
    const Float inverse = Float::broadcast(chosen.inverse);
    with_encoder<Format>(is_number(chosen.scale), [&](const auto& encode) {
      for (std::int64_t i = 0; i < rows; ++i) {
        vector_loop(width, [&](std::int64_t j, int count) {
          const Float value = Float::load(tile + i * kScaleBlock + j);
          store_bytes(codes + i * code_stride + j, encode(value * inverse), count);
        });
      }
    });
  });
}

}  // namespace moray::MORAY_ISA
