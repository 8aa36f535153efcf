// FP8 and bf16 numbers times their scales as bf16, for one instruction set; widen_host.hpp says how.
#include "kernels/mixed_gemm/widen_host.hpp"

#include "kernels/host/vector_loop.hpp"
#include "kernels/mixed_gemm/mixed_gemm_pack.hpp"

namespace moray::MORAY_ISA {
namespace {

using Halves [[gnu::vector_size(2 * kLanes)]] = std::uint16_t;
using Words [[gnu::vector_size(4 * kLanes)]] = std::uint32_t;

MORAY_FUNCTION Words words(Float x) {
  return reinterpret_cast<Words>(x.v);
}
/// The upper halves: nothing is rounded, since the value has the digits of bf16.
MORAY_FUNCTION Halves halves(Float x) {
  return __builtin_convertvector(words(x) >> 16, Halves);
}

/// Numbers i.. of a row, `count` of them, times `scale`; zeros in the other lanes.
template <NumberType type>
MORAY_FUNCTION Float scaled(const MixedOperand& x, long row, long i, long count, Float scale) {
  const Float number =
      load_numbers<type>(x, row, i, count < kLanes ? static_cast<int>(count) : kLanes);
  if constexpr (type == NumberType::bf16) return number;
  return number * scale;
}

/// The scale of a row's numbers from i on, up to the end of their block.
MORAY_FUNCTION Float row_scale(const MixedOperand& x, long row, long i) {
  if (x.scales == nullptr) return Float::zero();
  return Float::broadcast(x.scales[row / x.shared * x.scale_stride + i / kScaleBlock]);
}
/// The scales of columns i .. i + kLanes in a block, i a multiple of 8.
MORAY_FUNCTION Float column_scales(const MixedOperand& x, long block, long i, long count) {
  if (x.scales == nullptr) return Float::zero();
  const float* scales = x.scales + block * x.scale_stride;
  if (x.shared == 1)
    return Float::load(scales + i, count < kLanes ? static_cast<int>(count) : kLanes);
  if (i / x.shared == (i + kLanes - 1) / x.shared) return Float::broadcast(scales[i / x.shared]);
  alignas(64) float each[kLanes] = {};
  for (long j = 0; j < kLanes && j < count; ++j) each[j] = scales[(i + j) / x.shared];
  return Float::load(each);
}

MORAY_FUNCTION void store(std::uint16_t* p, Halves x) {
  __builtin_memcpy(p, &x, sizeof(x));
}
MORAY_FUNCTION void store(std::uint16_t* p, Halves x, long count) {
  if (count >= kLanes) return store(p, x);
  for (long i = 0; i < count; ++i) p[i] = x[i];
}

MORAY_HOST_KERNEL void widen_row(const MixedOperand& x, long row, long k, long padded,
                                 std::uint16_t* out) {
  with_type(x.type, [&]<NumberType type>() {
    long i = 0;
    for (; i < k; i += kLanes)
      store(out + i, halves(scaled<type>(x, row, i, k - i, row_scale(x, row, i))));
    for (; i < padded; i += kLanes) store(out + i, Halves{});
  });
}

MORAY_HOST_KERNEL void widen_step(const MixedOperand& x, SumStep step, long first, long count,
                                  std::uint16_t* out) {
  if (step.row < 0) {
    for (long i = 0; i < count; i += kLanes) store(out + i, Halves{}, count - i);
    return;
  }
  with_type(x.type, [&]<NumberType type>() {
    for (long i = 0; i < count; i += kLanes) {
      const Float scale = column_scales(x, step.block, first + i, count - i);
      const Halves x16 = halves(scaled<type>(x, step.row, first + i, count - i, scale));
      store(out + i, x16, count - i);
    }
  });
}

MORAY_HOST_KERNEL void strip_of_rows(const MixedOperand& x, long first, long count, long k,
                                     std::uint32_t* word, long width, long pairs) {
  with_type(x.type, [&]<NumberType type>() {
    for (long v = 0; v < width; v += kLanes) {
      const auto load = [&](long i, long pair, int) __attribute__((always_inline)) {
        const long row = first + v + i, at = 2 * pair;
        if (at >= k) return Float::zero();
        const Float scale = row_scale(x, row, at);
        const Halves low = halves(scaled<type>(x, row, at, k - at, scale));
        const long rest = k - at - kLanes;
        const Halves high =
            rest > 0 ? halves(scaled<type>(x, row, at + kLanes, rest, scale)) : Halves{};
        const Halves both[2] = {low, high};
        Float pairs_of_row;
        __builtin_memcpy(&pairs_of_row.v, both, sizeof(both));
        return pairs_of_row;
      };
      const long rows = count - v < kLanes ? count - v : kLanes;
      pack_transposed(rows, pairs, load, reinterpret_cast<float*>(word) + v, width);
    }
  });
}

MORAY_HOST_KERNEL void pair_of_steps(const MixedOperand& x, SumStep even, SumStep odd, long first,
                                     long count, const PairStrips& out, long pair) {
  with_type(x.type, [&]<NumberType type>() {
    const auto load = [&](SumStep step, long i) __attribute__((always_inline)) {
      if (step.row < 0) return Float::zero();
      return scaled<type>(x, step.row, first + i, count - i,
                          column_scales(x, step.block, first + i, count - i));
    };
    std::uint32_t* to = out.word + pair * out.width;
    for (long begin = 0; begin < count; begin += out.width, to += out.pairs * out.width) {
      for (long v = 0; v < out.width; v += kLanes) {
        Words both{};
        if (begin + v < count) {
          both = words(load(even, begin + v)) >> 16 | (words(load(odd, begin + v)) & 0xffff0000U);
        }
        __builtin_memcpy(to + v, &both, sizeof(both));
      }
    }
  });
}

}  // namespace

extern const HostWiden host_widen;
const HostWiden host_widen = {widen_row, widen_step, strip_of_rows, pair_of_steps};

}  // namespace moray::MORAY_ISA
