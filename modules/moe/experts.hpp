#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/linear.hpp"
#include "moe/expert_share.hpp"
#include "moe/moe_config.hpp"
#include "moe/route.hpp"
#include "moe/row_format.hpp"

namespace moray {

/// The products of the routed experts of a layer: each is one launch over the rows of a route, with the
/// weights of an expert for its rows. D is the model's width, F that of an expert, R the rows.
///
/// What comes from tokens, x and the gradients of outputs dy, is rows of bytes in the format that its
/// readers compute in (row_format.hpp): x as gate_proj and up_proj do, dy as down_proj does.
template <class Real>
class Experts {
 public:
  Experts() = default;
  /// `prefix` is "model.layers.3.mlp.".
  Experts(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
          const MoeConfig& config, const ExpertShare& share);

  const Linear<Real>& gate_up(std::int64_t e) const {
    return gate_up_[static_cast<std::size_t>(e)];
  }
  const Linear<Real>& down(std::int64_t e) const { return down_[static_cast<std::size_t>(e)]; }
  RowFormat x_format() const { return row_format(gate_up_.front().compute()); }
  RowFormat dy_format() const { return row_format(down_.front().compute()); }
  std::int64_t x_bytes() const { return row_bytes<Real>(x_format(), width()); }
  std::int64_t dy_bytes() const { return row_bytes<Real>(dy_format(), width()); }
  /// Of sums of outputs, and of gradients of x: bf16 where the products are.
  TreeSums y_sums() const { return tree_sums(dy_format()); }
  TreeSums dx_sums() const { return tree_sums(x_format()); }

  /// What low precision needs, for micro-batches of so many sequences and tokens, and so many rows of
  /// `members` times the sequences.
  void make_workspace(Arena& arena, std::int64_t sequences, std::int64_t tokens, std::int64_t rows,
                      std::int64_t members) const;
  /// Makes room for more rows than planned; returns the bytes that it took.
  std::int64_t require(std::int64_t rows) const {
    return row_scales_ == nullptr ? 0 : row_scales_->require(rows);
  }

  /// x or, as a gradient, dy of tokens (T, D) as rows to dispatch: itself, or packed into a workspace.
  Matrix<const std::byte> packed(Pass<Real>& pass, Operand what, Matrix<const Real> tokens) const;

  /// gate_up (R, 2 F) of rows x; y (R, D) of act (R, F).
  void forward_gate_up(Pass<Real>& pass, const Route<Real>& route, Matrix<std::byte> x,
                       Matrix<Real> gate_up) const {
    multiply_packed(pass, GemmForm::nt, gate_up_, route, x_format(), x, gate_up);
  }
  void forward_down(Pass<Real>& pass, const Route<Real>& route, const Input<Real>& act,
                    Matrix<Real> y) const {
    multiply(pass, GemmForm::nt, down_, route, act, y);
  }
  /// Room for the codes of act, as that of a Linear, for forward_down or backward_weight.
  CodeRoom act_room(const Pass<Real>& pass, std::int64_t rows) const {
    if (dy_format() != RowFormat::e4m3 || wants_values(pass, precision_)) return {};
    return code_room(precision_, rows, down_.front().in(), scratch_);
  }
  /// dact (R, F) of rows dy; dx (R, D) of dgate_up (R, 2 F).
  void backward_down(Pass<Real>& pass, const Route<Real>& route, Matrix<std::byte> dy,
                     Matrix<Real> dact) const {
    multiply_packed(pass, GemmForm::nn, down_, route, dy_format(), dy, dact);
  }
  void backward_gate_up(Pass<Real>& pass, const Route<Real>& route, Matrix<const Real> dgate_up,
                        Matrix<Real> dx) const {
    multiply(pass, GemmForm::nn, gate_up_, route, dgate_up, dx);
  }
  /// dw of each lane of each expert += the products over its rows.
  void backward_weight(Pass<Real>& pass, const RowLayout& rows, const Route<Real>& route,
                       Matrix<std::byte> dy, const Input<Real>& act, Matrix<const Real> dgate_up,
                       Matrix<std::byte> x) const;

 private:
  using Linears = std::vector<Linear<Real>>;
  std::int64_t width() const { return gate_up_.front().in(); }
  static TreeSums tree_sums(RowFormat format) {
    return format == RowFormat::real ? TreeSums::exact : TreeSums::bf16;
  }
  const WeightRef& weight(const Linears& linears, const Route<Real>& route, std::int64_t e) const {
    return linears[static_cast<std::size_t>(route.first_expert() + e)].weight();
  }
  void multiply(Pass<Real>& pass, GemmForm form, const Linears& linears, const Route<Real>& route,
                const Input<Real>& in, Matrix<Real> out) const;
  void multiply_packed(Pass<Real>& pass, GemmForm form, const Linears& linears,
                       const Route<Real>& route, RowFormat format, Matrix<std::byte> in,
                       Matrix<Real> out) const;
  void multiply_low(Pass<Real>& pass, GemmForm form, const Linears& linears,
                    const Route<Real>& route, const MixedOperand& in, std::int64_t k,
                    Matrix<Real> out) const;
  void accumulate(Pass<Real>& pass, const RowLayout& rows, const Linears& linears,
                  const Route<Real>& route, Matrix<const Real> dy, Matrix<const Real> x) const;
  /// Of operands with blocks as row_blocks() left them.
  void accumulate_low(Pass<Real>& pass, const RowLayout& rows, const Linears& linears,
                      const Route<Real>& route, const MixedOperand& dy, const MixedOperand& x,
                      Vector<const RowBlock> blocks) const;
  /// Packed rows as an operand of a weight gradient.
  MixedOperand packed_channels(Pass<Real>& pass, RowFormat format, Matrix<std::byte> rows,
                               Vector<const RowBlock> blocks,
                               const LowScratch::Buffer& buffer) const;
  /// Blocks of the rows of a route, in the memory of the backend.
  Vector<const RowBlock> row_blocks(Pass<Real>& pass, const Route<Real>& route) const;

  PrecisionConfig precision_;
  Linears gate_up_, down_;
  // Workspace, shared by all layers.
  mutable LowScratch scratch_;
  mutable std::int64_t sequence_rows_ = 0;         ///< of own tokens
  mutable Rows<std::byte> packed_x_, packed_dy_;   ///< (T, D)
  mutable Rows<float> token_scales_, row_scales_;  ///< (T, .), (R, .) before they are bytes
  mutable std::vector<std::int64_t> first_block_;  ///< of each (expert, segment)
};

/// Layers whose rows are as long share a buffer.
std::string row_key(const char* name, std::int64_t bytes);

}  // namespace moray
