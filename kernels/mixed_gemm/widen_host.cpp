// FP8 and bf16 numbers times their scales as bf16, for one instruction set; widen_host.hpp says how.
#include "kernels/mixed_gemm/widen_host.hpp"

#include "kernels/host/vector_loop.hpp"
#include "kernels/mixed_gemm/mixed_gemm_pack.hpp"

namespace moray::MORAY_ISA {
namespace {

/// bf16 numbers, and as many floats: a vector of halves is two of words.
constexpr long kHalves = 2 * kLanes;
using Halves [[gnu::vector_size(2 * kHalves)]] = std::uint16_t;
using Bytes [[gnu::vector_size(kHalves)]] = std::uint8_t;
using Words [[gnu::vector_size(4 * kLanes)]] = std::uint32_t;
using WordHalves [[gnu::vector_size(2 * kLanes)]] = std::uint16_t;

MORAY_FUNCTION int lanes(long count) {
  return count < 0 ? 0 : count < kLanes ? static_cast<int>(count) : kLanes;
}
// Through registers: memory that is written in halves and read as a whole stalls the processor.
#if defined(MORAY_ISA_v4)
#define MORAY_FIRST 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define MORAY_SECOND 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
#else
#define MORAY_FIRST 0, 1, 2, 3, 4, 5, 6, 7
#define MORAY_SECOND 8, 9, 10, 11, 12, 13, 14, 15
#endif
MORAY_FUNCTION Halves joined(WordHalves low, WordHalves high) {
  return __builtin_shufflevector(low, high, MORAY_FIRST, MORAY_SECOND);
}
MORAY_FUNCTION WordHalves low_half(Halves x) {
  return __builtin_shufflevector(x, x, MORAY_FIRST);
}
MORAY_FUNCTION WordHalves high_half(Halves x) {
  return __builtin_shufflevector(x, x, MORAY_SECOND);
}
#undef MORAY_FIRST
#undef MORAY_SECOND
/// Bits 16 to 31 of each word.
MORAY_FUNCTION WordHalves upper(Float x) {
  return __builtin_convertvector(reinterpret_cast<Words>(x.v) >> 16, WordHalves);
}

/// Scales of kHalves numbers. Codes of a byte are scaled by adding to the exponents where no scale is so
/// far from 1 that a result could leave the range of bf16.
struct Scales {
  Float low, high;
  Halves exponents;  ///< to be added to those of a bf16 number
  bool moderate;
};
/// Exponent fields of moderate scales: 2^-110 to 2^110, while a code is between 2^-16 and 2^16.
constexpr std::uint16_t kLeastExponent = 127 - 110;
constexpr std::uint16_t kExponents = 2 * 110;

MORAY_FUNCTION Scales scales_of(Float low, Float high) {
  const auto exponent = [](Float x) __attribute__((always_inline)) {
    return __builtin_convertvector(reinterpret_cast<Words>(x.v) >> 23, WordHalves);
  };
  const Halves field = joined(exponent(low), exponent(high));
  const Halves distance = field - kLeastExponent;
#if defined(MORAY_ISA_v4)
  const bool moderate = _mm512_cmpgt_epu16_mask(reinterpret_cast<__m512i>(distance),
                                                _mm512_set1_epi16(kExponents)) == 0;
#else
  bool moderate = true;
  for (long i = 0; i < kHalves; ++i) moderate = moderate && distance[i] <= kExponents;
#endif
  return {low, high, (field - std::uint16_t{127}) << 7, moderate};
}
/// One scale for all.
MORAY_FUNCTION Scales scales_of(float scale) {
  const auto field = static_cast<std::uint16_t>(__builtin_bit_cast(std::uint32_t, scale) >> 23);
  const Float all = Float::broadcast(scale);
  const auto exponent = static_cast<std::uint16_t>((field - 127) << 7);
  return {all, all, Halves{} + exponent,
          static_cast<std::uint16_t>(field - kLeastExponent) <= kExponents};
}
/// That of a row's numbers from i on, up to the end of their block.
MORAY_FUNCTION Scales row_scale(const MixedOperand& x, const float* scales, long i) {
  if (x.scales == nullptr) return {Float::zero(), Float::zero(), Halves{}, true};
  return scales_of(scales[i / kScaleBlock]);
}
MORAY_FUNCTION const float* row_scales(const MixedOperand& x, long row) {
  return x.scales == nullptr ? nullptr : x.scales + row / x.shared * x.scale_stride;
}

/// The scales of columns of a block, asked for from left to right.
class ColumnScales {
 public:
  MORAY_FUNCTION ColumnScales(const MixedOperand& x, long block, long first)
      : scales_(x.scales == nullptr ? nullptr : x.scales + block * x.scale_stride),
        shared_(x.shared),
        at_(x.shared == 1 ? first : first / x.shared),
        end_((at_ + 1) * x.shared) {}
  /// Of `count` columns from i on; beyond them 1.
  MORAY_FUNCTION Scales at(long i, long count) {
    if (scales_ == nullptr) return {Float::zero(), Float::zero(), Halves{}, true};
    if (shared_ == 1) return scales_of(load(i, count), load(i + kLanes, count - kLanes));
    for (; i >= end_; end_ += shared_) ++at_;
    if (i + (count < kHalves ? count : kHalves) <= end_) {
      return scales_of(scales_[at_]);
    }
    alignas(64) float each[kHalves];
    for (long j = 0, at = at_, end = end_; j < kHalves; ++j) {
      if (i + j == end && j < count) {
        ++at;
        end += shared_;
      }
      each[j] = scales_[at];
    }
    return scales_of(Float::load(each), Float::load(each + kLanes));
  }

 private:
  MORAY_FUNCTION Float load(long i, long count) const {
    if (count >= kLanes) return Float::load(scales_ + i);
    return select(Float::first(lanes(count)), Float::load(scales_ + i, lanes(count)),
                  Float::broadcast(1.0F));
  }

  const float* scales_;
  long shared_;
  long at_;  ///< the scale of the columns up to end_
  long end_;
};

/// table[index] of each lane.
MORAY_FUNCTION Halves looked_up(Halves table, Halves index) {
#if defined(MORAY_ISA_v4)
  return reinterpret_cast<Halves>(
      _mm512_permutexvar_epi16(reinterpret_cast<__m512i>(index), reinterpret_cast<__m512i>(table)));
#else
  Halves x{};
  for (long i = 0; i < kHalves; ++i) x[i] = table[index[i]];
  return x;
#endif
}

/// Codes of a byte times moderate scales, in the bits of bf16.
template <class Format>
MORAY_FUNCTION Halves widened_bytes(const std::uint8_t* p, long count, Halves exponents) {
  constexpr int kShift = 7 - Format::kMantissa;
  constexpr std::uint16_t kNormal = 1 << Format::kMantissa;
  constexpr std::uint16_t kSubnormal = kNormal - 1;
  constexpr std::uint16_t kRebias = (127 - Format::kBias) << 7;
  Bytes bytes;
  if (count >= kHalves) {
    __builtin_memcpy(&bytes, p, sizeof(bytes));
  } else {
#if defined(MORAY_ISA_v4)
    bytes = reinterpret_cast<Bytes>(_mm256_maskz_loadu_epi8((1U << count) - 1U, p));
#else
    for (long i = 0; i < kHalves; ++i) bytes[i] = i < count ? p[i] : std::uint8_t{0};
#endif
  }
  const Halves code = __builtin_convertvector(bytes, Halves);
  const Halves magnitude = code & 0x7f;
  const Halves sign = (code & 0x80) << 8;
  // The bf16 numbers of the subnormal codes m: m 2^(1 - bias - mantissa).
  Halves subnormal{};
  for (int m = 1; m < kNormal; ++m) {
    const int top = m >= 4 ? 2 : m >= 2 ? 1 : 0;  // the highest bit that is set
    const int field = 127 + 1 - Format::kBias - Format::kMantissa + top;
    subnormal[m] = static_cast<std::uint16_t>(field << 7 | ((m << (7 - top)) & 0x7f));
  }
  const Halves normal = (magnitude << kShift) + kRebias;
  const Halves finite = magnitude < kNormal ? looked_up(subnormal, magnitude & kSubnormal) : normal;
  const Halves scaled = finite + (magnitude == 0 ? Halves{} : exponents);
  const Halves nan = Halves{} + std::uint16_t{0x7fc0};
  const Halves special = Format::kInfinity < 0
                             ? nan
                             : (magnitude == static_cast<std::uint16_t>(Format::kInfinity & 0x7f)
                                    ? Halves{} + std::uint16_t{0x7f80}
                                    : nan);
  return (magnitude > static_cast<std::uint16_t>(Format::kLargest) ? special : scaled) | sign;
}

/// kHalves numbers of a row from i on, a multiple of 8, times their scales: zeros from `count` on.
template <NumberType type>
MORAY_FUNCTION Halves widened(const MixedOperand& x, long row, long i, long count,
                              const Scales& scales) {
  const auto* p = static_cast<const std::uint8_t*>(x.data) + row * x.stride;
  fetch_ahead(p + i);
  if constexpr (type == NumberType::bf16) {
    Halves numbers{};
    if (count >= kHalves) {
      __builtin_memcpy(&numbers, p + 2 * i, sizeof(numbers));
      return numbers;
    }
    return joined(upper(load_numbers<type>(x, row, i, lanes(count))),
                  upper(load_numbers<type>(x, row, i + kLanes, lanes(count - kLanes))));
  } else {
    if (type == NumberType::e4m3 && scales.moderate) {
      return widened_bytes<E4m3>(p + i, count, scales.exponents);
    }
    if (type == NumberType::e5m2 && scales.moderate) {
      return widened_bytes<E5m2>(p + i, count, scales.exponents);
    }
    const Float low = load_numbers<type>(x, row, i, lanes(count));
    const Float high = count > kLanes
                           ? load_numbers<type>(x, row, i + kLanes, lanes(count - kLanes))
                           : Float::zero();
    return joined(upper(low * scales.low), upper(high * scales.high));
  }
}

MORAY_FUNCTION void store(std::uint16_t* p, Halves x, long count) {
  if (count >= kHalves) {
    __builtin_memcpy(p, &x, sizeof(x));
  } else {
    for (long i = 0; i < count; ++i) p[i] = x[i];
  }
}

MORAY_HOST_KERNEL void widen_row(const MixedOperand& x, long row, long k, long padded,
                                 std::uint16_t* out) {
  with_type(x.type, [&]<NumberType type>() {
    const float* scales = row_scales(x, row);
    long i = 0;
    for (long block = 0; block < k; block += kScaleBlock) {
      const Scales scale = row_scale(x, scales, block);
      const long end = k < block + kScaleBlock ? k : block + kScaleBlock;
      for (; i + kHalves <= end; i += kHalves) {
        store(out + i, widened<type>(x, row, i, kHalves, scale), kHalves);
      }
      if (i < end) {
        store(out + i, widened<type>(x, row, i, end - i, scale), kHalves);
        i += kHalves;
      }
    }
    for (; i < padded; i += kHalves) store(out + i, Halves{}, kHalves);
  });
}

MORAY_HOST_KERNEL void widen_step(const MixedOperand& x, SumStep step, long first, long count,
                                  std::uint16_t* out) {
  if (step.row < 0) {
    for (long i = 0; i < count; i += kHalves) store(out + i, Halves{}, count - i);
    return;
  }
  with_type(x.type, [&]<NumberType type>() {
    ColumnScales scales(x, step.block, first);
    long i = 0;
    for (; i + kHalves <= count; i += kHalves) {
      const Scales scale = scales.at(first + i, kHalves);
      store(out + i, widened<type>(x, step.row, first + i, kHalves, scale), kHalves);
    }
    if (i == count) return;
    const Scales scale = scales.at(first + i, count - i);
    store(out + i, widened<type>(x, step.row, first + i, count - i, scale), count - i);
  });
}

MORAY_HOST_KERNEL void strip_of_rows(const MixedOperand& x, long first, long count, long k,
                                     std::uint32_t* word, long width, long pairs) {
  with_type(x.type, [&]<NumberType type>() {
    for (long v = 0; v < width; v += kLanes) {
      const long rows = count - v < 0 ? 0 : count - v < kLanes ? count - v : kLanes;
      const float* scales[kLanes];
      for (long i = 0; i < rows; ++i) scales[i] = row_scales(x, first + v + i);
      const auto load = [&](long i, long pair, int) __attribute__((always_inline)) {
        const long at = 2 * pair;
        if (at >= k) return Float::zero();
        const Halves numbers =
            widened<type>(x, first + v + i, at, k - at, row_scale(x, scales[i], at));
        Float pairs_of_row;
        __builtin_memcpy(&pairs_of_row.v, &numbers, sizeof(numbers));
        return pairs_of_row;
      };
      pack_transposed(rows, pairs, load, reinterpret_cast<float*>(word) + v, width);
    }
  });
}

/// Words of two numbers, the even one in the low half.
MORAY_FUNCTION Words interleaved(WordHalves even, WordHalves odd) {
  return __builtin_convertvector(even, Words) | __builtin_convertvector(odd, Words) << 16;
}

MORAY_HOST_KERNEL void pair_of_steps(const MixedOperand& x, SumStep even, SumStep odd, long first,
                                     long count, const PairStrips& out, long pair) {
  with_type(x.type, [&]<NumberType type>() {
    ColumnScales even_scales(x, even.block, first), odd_scales(x, odd.block, first);
    const bool same = even.block == odd.block;
    std::uint32_t* to = out.word + pair * out.width;
    for (long begin = 0; begin < count; begin += out.width, to += out.pairs * out.width) {
      for (long v = 0; v < out.width; v += kHalves) {
        const long at = begin + v, rest = count - at;
        Halves low{}, high{};
        if (rest > 0) {
          const Scales scale = even_scales.at(first + at, rest);
          if (even.row >= 0) low = widened<type>(x, even.row, first + at, rest, scale);
          if (odd.row >= 0) {
            high = widened<type>(x, odd.row, first + at, rest,
                                 same ? scale : odd_scales.at(first + at, rest));
          }
        }
        const Words left = interleaved(low_half(low), low_half(high));
        __builtin_memcpy(to + v, &left, sizeof(left));
        if (v + kLanes == out.width) break;
        const Words right = interleaved(high_half(low), high_half(high));
        __builtin_memcpy(to + v + kLanes, &right, sizeof(right));
      }
    }
  });
}

}  // namespace

extern const HostWiden host_widen;
const HostWiden host_widen = {widen_row, widen_step, strip_of_rows, pair_of_steps};

}  // namespace moray::MORAY_ISA
