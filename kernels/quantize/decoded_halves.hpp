#pragma once

#include "kernels/quantize/quantize.hpp"
#include "kernels/quantize/quantize_host.hpp"

namespace moray::host {

/// body(j, count, g, u) for the decoded gate and up of a row of codes: `count` values from column j of
/// both halves on. Where a half starts with a block these are pieces that stay in the first-level cache,
/// else the whole row, in `room` (2 width).
template <class Body>
void for_decoded_halves(const HostQuantize& kernels, const Quantized& codes, std::int64_t row,
                        float* room, std::int64_t width, const Body& body) {
  constexpr std::int64_t kPiece = 8 * kScaleBlock;
  const auto decode = [&](std::int64_t j, std::int64_t count, float* to) {
    kernels.decode_tokens(codes.type, count, codes.codes.row(row) + code_bytes(codes.type, j),
                          codes.scales.row(row) + j / kScaleBlock, to);
  };
  if (width % kScaleBlock != 0) {
    decode(0, 2 * width, room);
    return body(0, width, room, room + width);
  }
  alignas(64) float g[kPiece], u[kPiece];
  for (std::int64_t j = 0; j < width; j += kPiece) {
    const std::int64_t count = width - j < kPiece ? width - j : kPiece;
    decode(j, count, g);
    decode(width + j, count, u);
    body(j, count, g, u);
  }
}

}  // namespace moray::host
