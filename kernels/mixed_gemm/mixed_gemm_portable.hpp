#pragma once

/// Operands and results of products with bf16 and FP8 numbers, element by element, for every backend.

#include "core/bf16.hpp"
#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"

namespace moray::portable {

/// Number j of row i.
KOKKOS_FORCEINLINE_FUNCTION float number(const MixedOperand& x, std::int64_t i, std::int64_t j) {
  const std::uint8_t* row = static_cast<const std::uint8_t*>(x.data) + i * x.stride;
  if (x.type == NumberType::e4m3) return e4m3_decode(row[j]);
  if (x.type == NumberType::bf16) {
    return bf16_decode(reinterpret_cast<const std::uint16_t*>(row)[j]);
  }
  if (x.type == NumberType::e5m2) return e5m2_decode(row[j]);
  std::uint32_t word[3], code[8];
  const std::uint8_t* group = row + j / 8 * 12;
  for (int w = 0; w < 3; ++w) __builtin_memcpy(&word[w], group + 4 * w, 4);
  e5m6_unpack(word, code);
  return e5m6_decode(static_cast<std::uint16_t>(code[j % 8]));
}

/// What a form reads for element (row i, step l) of the left operand and (step l, column j) of the
/// right one, and their scales of block q.
template <GemmForm form>
struct Operands {
  const MixedOperand& a;
  const MixedOperand& b;

  KOKKOS_FORCEINLINE_FUNCTION float left(std::int64_t i, std::int64_t l) const {
    return form == GemmForm::tn ? number(a, l, i) : number(a, i, l);
  }
  KOKKOS_FORCEINLINE_FUNCTION float right(std::int64_t l, std::int64_t j) const {
    return form == GemmForm::nt ? number(b, j, l) : number(b, l, j);
  }
  KOKKOS_FORCEINLINE_FUNCTION float left_scale(std::int64_t i, std::int64_t q) const {
    const std::int64_t at = i / a.shared;
    return a.scales[form == GemmForm::tn ? q * a.scale_stride + at : at * a.scale_stride + q];
  }
  KOKKOS_FORCEINLINE_FUNCTION float right_scale(std::int64_t q, std::int64_t j) const {
    const std::int64_t at = j / b.shared;
    return b.scales[form == GemmForm::nt ? at * b.scale_stride + q : q * b.scale_stride + at];
  }
};

/// Block q of the sum: [128 q, 128 q + 128) of k, or what the task says.
KOKKOS_FORCEINLINE_FUNCTION RowBlock block_of(const MixedGemmTask& t, std::int64_t q) {
  if (t.blocks.data != nullptr) return t.blocks[q];
  const std::int64_t rest = t.k - q * kScaleBlock;
  return {static_cast<std::int32_t>(q * kScaleBlock),
          static_cast<std::int32_t>(rest < kScaleBlock ? rest : kScaleBlock)};
}

/// Writes a sum, as float32 or rounded to bf16.
KOKKOS_FORCEINLINE_FUNCTION void store(const MixedGemmTask& t, std::int64_t i, std::int64_t j,
                                       float sum) {
  const float result = sum + 0.0F;  // never -0
  if (t.rounded != nullptr) {
    t.rounded[i * t.ldc + j] = bf16_encode(result);
  } else {
    t.c[i * t.ldc + j] = t.rounds ? bf16_decode(bf16_encode(result)) : result;
  }
}

/// The sum of `tasks` by the model of a limited accumulator.
void limited_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                  bool promoted);

}  // namespace moray::portable
