#include "model/low_linear.hpp"

#include <algorithm>

#include "kernels/quantize/bf16.hpp"
#include "kernels/quantize/coarse_scales.hpp"

namespace moray {
namespace {

/// A matrix in the memory of rows that may grow.
template <class T, class Row>
Matrix<T> in_memory_of(const Rows<Row>& memory, std::int64_t rows, std::int64_t cols) {
  const std::int64_t bytes = rows * cols * static_cast<std::int64_t>(sizeof(T));
  memory->require((bytes + static_cast<std::int64_t>(sizeof(Row)) - 1) /
                  static_cast<std::int64_t>(sizeof(Row)));
  return matrix(reinterpret_cast<T*>(memory->first(0).data), rows, cols);
}

Quantized quantized(const LowScratch::Buffer& buffer, CodeType type, std::int64_t rows,
                    std::int64_t columns, std::int64_t scale_rows, std::int64_t scale_cols) {
  return {type, in_memory_of<std::uint8_t>(buffer.bytes, rows, code_bytes(type, columns)),
          in_memory_of<float>(buffer.scales, scale_rows, scale_cols)};
}

}  // namespace

MixedOperand rows_from(const MixedOperand& operand, std::int64_t row) {
  MixedOperand from = operand;
  from.data = static_cast<const std::byte*>(operand.data) + row * operand.stride;
  if (operand.scales != nullptr) from.scales += row * operand.scale_stride;
  return from;
}

LowScratch::LowScratch(Arena& arena, const PrecisionConfig& precision, Compute compute,
                       std::int64_t rows, std::int64_t runs, std::int64_t in, std::int64_t out) {
  const std::int64_t bytes = compute == Compute::bf16 ? 2 : 1;
  const std::int64_t widest = std::max(in, out);
  const auto buffer = [&](const char* name, std::int64_t width) {
    const std::string key = std::string("low.") + name;
    return Buffer{
        arena.shared_rows<std::uint8_t>(key, bytes * rows * width, 1),
        arena.shared_rows<float>(
            key + "_scales",
            std::max(rows * scale_blocks(width), (scale_blocks(rows) + runs) * width), 1)};
  };
  tokens = buffer("tokens", widest);
  left = buffer("left", out);
  right = buffer("right", in);
  blocks = arena.shared_rows<RowBlock>("low.blocks", scale_blocks(rows) + runs, 1);
  coarse = arena.shared_rows<float>("low.coarse", precision.coarse() ? rows * widest : 0, 1);
}

Matrix<const float> coarse_values(const ExecSpace& exec, const PrecisionConfig& precision,
                                  Operand what, Matrix<const float> x,
                                  Vector<const RowBlock> blocks, const LowScratch& scratch) {
  const std::string& scales =
      what == Operand::gradient ? precision.gradient_scales : precision.value_scales;
  const bool tensor = scales == "tensor";
  if (!tensor && (what == Operand::value || scales == "token")) return x;
  const Matrix<float> rounded = in_memory_of<float>(scratch.coarse, x.rows, x.cols);
  round_with_block_scales(exec, x, blocks, tensor ? x.cols : kScaleBlock, rounded);
  return rounded;
}

CodeRoom code_room(const PrecisionConfig& precision, std::int64_t rows, std::int64_t columns,
                   const LowScratch& scratch) {
  return {quantized(scratch.tokens, CodeType::e4m3, rows, columns, rows, scale_blocks(columns)),
          precision.scale_rule()};
}

MixedOperand row_operand(const ExecSpace& exec, const PrecisionConfig& precision, Compute compute,
                         Operand what, Matrix<const float> x, Vector<const RowBlock> blocks,
                         const LowScratch& scratch, const LowScratch::Buffer& buffer) {
  if (compute == Compute::bf16) {
    const auto codes = in_memory_of<std::uint16_t>(buffer.bytes, x.rows, x.cols);
    to_bf16(exec, x, codes);
    return operand(codes);
  }
  const Quantized codes =
      quantized(buffer, CodeType::e4m3, x.rows, x.cols, x.rows, scale_blocks(x.cols));
  quantize_tokens(exec, coarse_values(exec, precision, what, x, blocks, scratch),
                  precision.scale_rule(), codes);
  return operand(codes, 1, precision.scale_rule());
}

MixedOperand channel_operand(const ExecSpace& exec, const PrecisionConfig& precision,
                             Compute compute, Operand what, Matrix<const float> x,
                             Vector<const RowBlock> blocks, const LowScratch& scratch,
                             const LowScratch::Buffer& buffer) {
  if (compute == Compute::bf16)
    return row_operand(exec, precision, compute, what, x, blocks, scratch, buffer);
  if (what == Operand::gradient) {
    const Quantized codes = quantized(buffer, CodeType::e4m3, x.rows, x.cols, blocks.size, x.cols);
    quantize_channels(exec, coarse_values(exec, precision, what, x, blocks, scratch), blocks,
                      precision.scale_rule(), Layout::rows, codes);
    return operand(codes, 1, precision.scale_rule());
  }
  const Quantized codes =
      quantized(scratch.tokens, CodeType::e4m3, x.rows, x.cols, x.rows, scale_blocks(x.cols));
  quantize_tokens(exec, coarse_values(exec, precision, what, x, blocks, scratch),
                  precision.scale_rule(), codes);
  return channel_operand(exec, precision, codes, x.cols, blocks, buffer);
}

MixedOperand channel_operand(const ExecSpace& exec, const PrecisionConfig& precision,
                             const Quantized& codes, std::int64_t columns,
                             Vector<const RowBlock> blocks, const LowScratch::Buffer& buffer) {
  const Quantized channels =
      quantized(buffer, CodeType::e4m3, codes.codes.rows, columns, blocks.size, columns);
  requantize_channels(exec, codes, columns, blocks, precision.scale_rule(), Layout::rows, channels);
  return operand(channels, 1, precision.scale_rule());
}

Vector<const RowBlock> upload_blocks(std::span<const RowBlock> blocks, const LowScratch& scratch) {
  const auto count = static_cast<std::int64_t>(blocks.size());
  scratch.blocks->require(count);
  RowBlock* memory = scratch.blocks->first(0).data;
  copy_to_device(blocks.data(), blocks.size(), memory);
  return {memory, count};
}

}  // namespace moray
