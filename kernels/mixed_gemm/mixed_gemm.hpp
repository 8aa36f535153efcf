#pragma once

#include <cstdint>
#include <span>

#include "core/matrix.hpp"
#include "kernels/gemm/gemm_form.hpp"
#include "kernels/mixed_gemm/mixed_numbers.hpp"
#include "kernels/quantize/quantize.hpp"
#include "kernels/variants.hpp"

/// Products of operands in bf16 or FP8, summed in float32: docs/fp8.md section 3.
namespace moray {

constexpr NumberType number_type(CodeType type) {
  return type == CodeType::e4m3   ? NumberType::e4m3
         : type == CodeType::e5m2 ? NumberType::e5m2
                                  : NumberType::e5m6;
}

/// The numbers of a bf16 matrix.
inline MixedOperand operand(Matrix<const std::uint16_t> x) {
  return {NumberType::bf16, x.data, 2 * x.stride};
}
/// Codes with scales; `shared` rows, or columns, have one scale: 1 for quantize_tokens and, in layout
/// `rows`, quantize_channels; 128 for quantize_weights. `rule` is that of the quantisation.
inline MixedOperand operand(const Quantized& x, std::int64_t shared = 1,
                            ScaleRule rule = ScaleRule::float32) {
  return {number_type(x.type),
          x.codes.data,
          x.codes.stride,
          x.scales.data,
          x.scales.stride,
          shared,
          rule};
}

/// One product, c (m, n); which extents of a and b are m, n and k says GemmForm. The result is
/// float32 (`c`), the same rounded to bf16 but stored as float32 (`rounds`), or bf16 (`rounded`); the latter two
/// never for form tn. c overlaps neither operand.
struct MixedGemmTask {
  MixedOperand a;
  MixedOperand b;
  float* c = nullptr;
  std::uint16_t* rounded = nullptr;
  bool rounds = false;
  std::int64_t ldc = 0;  ///< elements from a row of the result to the next
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;                  ///< unused where `blocks` say what is summed
  Vector<const RowBlock> blocks = {};  ///< form tn with scales: the rows of a and b to sum over
};

/// Runs independent products as one launch: a dense Linear, the experts of a layer, the lanes of a
/// gradient. Both operands of a task have scales or neither has, the same in all tasks of a launch.
///
/// Bits. Numbers decode exactly. Without scales, each element is the chain fma(a_l, b_l, c) over
/// increasing l from +0 (forms nt, nn) or from c (form tn). With scales the sum is cut into blocks q
/// in increasing order: [128 q, 128 q + 128) of k, the last one shorter, or for form tn those of
/// `blocks`, which start anew with each sequence. In each block a chain runs from +0 and is promoted:
///
///   acc = fma(chain_q, s_a s_b, acc)        the product of the scales rounded to float32
///
/// acc starts from +0 or from c. The result is acc + 0, never -0, and then rounded to bf16 where that
/// is wanted. m = 0 or n = 0 is allowed; an empty sum writes +0 (nt, nn) or leaves c (tn). Tasks must
/// not write the same element. Does not fence; `tasks` may be freed on return.
///
/// With another accumulation than `exact` chains are replaced by sums in an accumulator of 14 bits, and
/// without promotion the products are multiplied by s_a s_b one by one; a weight gradient is then added
/// to c in the end. Operands have scales.
///
/// The vendor variant (determinism: run) sums in an order of its own, and takes operands without scales
/// or with scales that were chosen by the rule power_of_two; others go to the fastest exact variant.
void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks,
                Accumulation accumulation = Accumulation::exact);

}  // namespace moray
