#pragma once

/// Operands decoded into the order in which the register tile reads them. Of each block there are
/// first the scales, one a row or column of the tile, then the numbers, step by step.

#include "kernels/gemm/gemm_pack.hpp"
#include "kernels/host/simd_fp8.hpp"
#include "kernels/mixed_gemm/mixed_gemm_micro.hpp"

namespace moray::MORAY_ISA {
namespace {

/// `count` numbers of a row from i on, a multiple of 8; zeros in the other lanes.
template <NumberType type>
MORAY_FUNCTION Float load_numbers(const MixedOperand& x, long row, long i, int count) {
  const std::uint8_t* p = static_cast<const std::uint8_t*>(x.data) + row * x.stride;
  if constexpr (type == NumberType::bf16) {
    return load_bf16(reinterpret_cast<const std::uint16_t*>(p) + i, count);
  } else if constexpr (type == NumberType::e4m3) {
    return decode_small<E4m3>(load_bytes(p + i, count));
  } else if constexpr (type == NumberType::e5m2) {
    return decode_small<E5m2>(load_bytes(p + i, count));
  } else {
    return decode_small<E5m6>(load_e5m6(p + i / 8 * 12, count));
  }
}

/// Calls body(type) with the type as a constant.
template <class Body>
MORAY_FUNCTION void with_type(NumberType type, const Body& body) {
  switch (type) {
    case NumberType::bf16:
      return body.template operator()<NumberType::bf16>();
    case NumberType::e4m3:
      return body.template operator()<NumberType::e4m3>();
    case NumberType::e5m2:
      return body.template operator()<NumberType::e5m2>();
    case NumberType::e5m6:
      return body.template operator()<NumberType::e5m6>();
  }
}

/// Writes the scales of block q for the `count` rows or columns from `first` on, where the operand has
/// any, zeros up to `width`. Returns the place of the block's first number.
MORAY_FUNCTION float* pack_scales(const MixedOperand& x, bool by_rows, long q, long first,
                                  long count, long width, float* out) {
  if (x.scales == nullptr) return out;
  const float* scales = x.scales + (by_rows ? q : q * x.scale_stride);
  const long step = by_rows ? x.scale_stride : 1;
  if (x.shared == 1) {
    for (long i = 0; i < count; ++i) out[i] = scales[(first + i) * step];
  } else {
    long at = first / x.shared;
    for (long i = 0; i < count; ++i) {
      if (first + i == (at + 1) * x.shared) ++at;
      out[i] = scales[at * step];
    }
  }
  for (long i = count; i < width; ++i) out[i] = 0.0F;
  return out + width;
}

/// The `count` rows from `first` on, a step a number of each row, as a tile of `width` columns. A
/// step may write kLanes - 1 floats beyond its end, which the next one overwrites.
template <NumberType type>
void pack_rows(const MixedOperand& x, const MixedPart& part, long first, long count, long width,
               float* out) {
  for (long q = 0; q < part.count; ++q) {
    const RowBlock block = part.blocks[q];
    out = pack_scales(x, true, part.first + q, first, count, width, out);
    for (long v = 0; v < width; v += kLanes) {
      const long rows = count - v < kLanes ? count - v : kLanes;
      const auto load = [&](long i, long l, int lanes) __attribute__((always_inline)) {
        return load_numbers<type>(x, first + v + i, block.begin + l, lanes);
      };
      pack_transposed(rows, block.count, load, out + v, width);
    }
    out += block.count * width;
  }
}

/// Tiles that pack_columns makes at a time, and their columns at most.
constexpr long kPackedTiles = 8;
constexpr long kPackedColumns = kPackedTiles * kTileColumns;
/// Rows that are asked for before they are packed: rows far apart are no stream to the processor.
constexpr long kRowsAhead = 12;

/// `count` numbers of row l from `first` on, decoded; `ahead` more lie behind them. Writes whole vectors.
template <NumberType type>
MORAY_FUNCTION void pack_piece(const MixedOperand& x, long l, long first, long count, long ahead,
                               float* to) {
  for (long v = 0; v < count; v += kLanes) {
    const long rest = count + ahead - v;
    load_numbers<type>(x, l, first + v, rest < kLanes ? static_cast<int>(rest) : kLanes)
        .store(to + v);
  }
}
/// The same for tiles that may begin within a group of E5M6, from numbers decoded before.
MORAY_FUNCTION void copy_piece(const float* from, long count, float* to) {
  for (long v = 0; v < count; v += kLanes) Float::load(from + v).store(to + v);
}

/// Columns [first, first + count) of rows that run across the sum, a step a row, as up to kPackedTiles
/// tiles of `width` columns `stride` floats apart, the last one `last` wide. first is a multiple of 8.
/// As in pack_rows a step may write beyond its end.
template <NumberType type>
void pack_columns(const MixedOperand& x, const MixedPart& part, long first, long count, long width,
                  long last, long stride, float* out) {
  alignas(64) float row[kPackedColumns + kLanes] = {};
  const long whole = (count - 1) / width;  // tiles before the last one
  float* tail = out + whole * stride;
  const auto* ahead = static_cast<const char*>(x.data) + first * (type == NumberType::bf16 ? 2 : 1);
  for (long q = 0; q < part.count; ++q) {
    const RowBlock block = part.blocks[q];
    for (long s = 0; s < whole; ++s) {
      pack_scales(x, false, part.first + q, first + s * width, width, width, out + s * stride);
    }
    pack_scales(x, false, part.first + q, first + whole * width, count - whole * width, last, tail);
    out += x.scales != nullptr ? width : 0;
    tail += x.scales != nullptr ? last : 0;
    for (long l = block.begin; l < block.begin + block.count; ++l) {
      __builtin_prefetch(ahead + (l + kRowsAhead) * x.stride);
      __builtin_prefetch(ahead + (l + kRowsAhead) * x.stride + 64);
      if constexpr (type == NumberType::e5m6) {
        pack_piece<type>(x, l, first, count, 0, row);
        for (long s = 0; s < whole; ++s) copy_piece(row + s * width, width, out + s * stride);
        copy_piece(row + whole * width, last, tail);
      } else {
        for (long s = 0; s < whole; ++s) {
          const long j = s * width;
          pack_piece<type>(x, l, first + j, width, count - j - width, out + s * stride);
        }
        pack_piece<type>(x, l, first + whole * width, count - whole * width, 0, tail);
      }
      out += width;
      tail += last;
    }
  }
}

}  // namespace
}  // namespace moray::MORAY_ISA
