#pragma once

#include <cstdint>
#include <span>

#include "core/arena.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "kernels/quantize/quantize.hpp"
#include "model/precision.hpp"

/// The operands of products in bf16 and FP8: docs/fp8.md section 4.
namespace moray {

/// Rows of an operand from `row` on. Its rows have scales of their own.
MixedOperand rows_from(const MixedOperand& operand, std::int64_t row);

/// Memory for operands that live no longer than a product, shared by all of a model.
class LowScratch {
 public:
  LowScratch() = default;
  /// Products (rows, in) x (out, in) of so many rows, cut into `runs` that begin blocks of their own:
  /// sequences, or those of each expert.
  LowScratch(Arena& arena, const PrecisionConfig& precision, Compute compute, std::int64_t rows,
             std::int64_t runs, std::int64_t in, std::int64_t out);

  struct Buffer {
    Rows<std::uint8_t> bytes;
    Rows<float> scales;
  };
  Buffer tokens;       ///< one operand by rows
  Buffer left, right;  ///< both operands of a weight gradient
  Rows<RowBlock> blocks;
  Rows<float> coarse;  ///< values of an ablation
};

/// Room for the 1 x 128 codes of values, for whoever makes the values and need not write them: nobody reads
/// anything but the codes. Without data where somebody does.
struct CodeRoom {
  Quantized codes = {};
  ScaleRule rule = ScaleRule::float32;
  explicit operator bool() const { return codes.codes.data != nullptr; }
};

/// What a product reads as x: values (T, C), or their codes in the room that it gave.
template <class Real>
struct Input {
  Input(Matrix<const Real> x) : values(x) {}
  Input(Matrix<Real> x) : values(x) {}
  explicit Input(const CodeRoom& room) : codes(room.codes) {}
  bool coded() const { return codes.codes.data != nullptr; }

  Matrix<const Real> values = {};
  Quantized codes = {};
};

/// What a tensor is to a product: ablations treat the two apart.
enum class Operand { value, gradient };

/// Of an ablation, the values rounded with scales coarser than those of the operand; else x.
Matrix<const float> coarse_values(const ExecSpace& exec, const PrecisionConfig& precision,
                                  Operand what, Matrix<const float> x,
                                  Vector<const RowBlock> blocks, const LowScratch& scratch);

/// Values (T, C) as the rows of an operand, in bf16 or E4M3 with scales 1 x 128. `blocks` are those of
/// all rows, only read by ablations.
MixedOperand row_operand(const ExecSpace& exec, const PrecisionConfig& precision, Compute compute,
                         Operand what, Matrix<const float> x, Vector<const RowBlock> blocks,
                         const LowScratch& scratch, const LowScratch::Buffer& buffer);

/// Room in `tokens` for x of `columns` channels. Its codes are read by the next product and lost with that
/// after it, since all of a model share the memory.
CodeRoom code_room(const PrecisionConfig& precision, std::int64_t rows, std::int64_t columns,
                   const LowScratch& scratch);

/// Values (T, C) as an operand of a weight gradient. In FP8 with scales 128 x 1: of a gradient from its
/// values, else from the 1 x 128 codes that the forward read.
MixedOperand channel_operand(const ExecSpace& exec, const PrecisionConfig& precision,
                             Compute compute, Operand what, Matrix<const float> x,
                             Vector<const RowBlock> blocks, const LowScratch& scratch,
                             const LowScratch::Buffer& buffer);
/// The same from the 1 x 128 codes of `columns` channels.
MixedOperand channel_operand(const ExecSpace& exec, const PrecisionConfig& precision,
                             const Quantized& codes, std::int64_t columns,
                             Vector<const RowBlock> blocks, const LowScratch::Buffer& buffer);

/// Copies blocks to the memory of the backend.
Vector<const RowBlock> upload_blocks(std::span<const RowBlock> blocks, const LowScratch& scratch);

}  // namespace moray
