#include "model/linear.hpp"

#include "kernels/rmsnorm/rmsnorm.hpp"

namespace moray {

template <class Real>
void Linear<Real>::forward(Pass<Real>& pass, const Input<Real>& x, Matrix<Real> y) const {
  if (low()) return low_product(pass, GemmForm::nt, Operand::value, x, y);
  gemm(pass.exec, GemmForm::nt, x.values, pass.parameters->weight(weight_), y);
}

template <class Real>
void Linear<Real>::backward_input(Pass<Real>& pass, Matrix<const Real> dy, Matrix<Real> dx) const {
  if (low()) return low_product(pass, GemmForm::nn, Operand::gradient, dy, dx);
  gemm(pass.exec, GemmForm::nn, dy, pass.parameters->weight(weight_), dx);
}

template <class Real>
void Linear<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                                   const Input<Real>& x) const {
  if (low()) return low_backward_weight(pass, rows, dy, x);
  pass.tasks.clear();
  for (const LaneSegment& segment : rows.batch->segments()) {
    const std::int64_t first = segment.first * rows.rows;
    const Matrix<Real> dw = pass.parameters->gradient(weight_, segment.lane);
    pass.tasks.push_back({.a = dy.row(first),
                          .lda = dy.stride,
                          .b = x.values.row(first),
                          .ldb = x.values.stride,
                          .c = dw.data,
                          .ldc = dw.stride,
                          .m = out(),
                          .n = in(),
                          .k = segment.sequences * rows.rows});
  }
  gemm<Real>(pass.exec, GemmForm::tn, pass.tasks);
}

template <class Real>
void Linear<Real>::low_product(Pass<Real>& pass, GemmForm form, Operand what, const Input<Real>& x,
                               Matrix<Real> y) const {
  if constexpr (std::is_same_v<Real, float>) {
    const PrecisionConfig& precision = pass.parameters->precision();
    MixedOperand rows;
    if (x.coded()) {
      rows = operand(x.codes, 1, precision.scale_rule());
    } else {
      Vector<const RowBlock> blocks;
      if (precision.coarse()) {
        pass.blocks.clear();
        for (std::int64_t begin = 0; begin < y.rows; begin += sequence_rows_)
          append_row_blocks(begin, sequence_rows_, pass.blocks);
        blocks = upload_blocks(pass.blocks, scratch_);
      }
      rows = row_operand(pass.exec, precision, compute(), what, x.values, blocks, scratch_,
                         scratch_.tokens);
      count_codes(pass, weight_, what, x.values, rows);
    }
    const MixedGemmTask task = {.a = rows,
                                .b = pass.parameters->low_weight(weight_),
                                .c = y.data,
                                .rounds = true,
                                .ldc = y.stride,
                                .m = y.rows,
                                .n = y.cols,
                                .k = form == GemmForm::nt ? in() : out()};
    mixed_gemm(pass.exec, form, {&task, 1},
               compute() == Compute::fp8 ? precision.accumulation() : Accumulation::exact);
  }
}

template <class Real>
void Linear<Real>::low_backward_weight(Pass<Real>& pass, const RowLayout& rows,
                                       Matrix<const Real> dy, const Input<Real>& x) const {
  if constexpr (std::is_same_v<Real, float>) {
    const PrecisionConfig& precision = pass.parameters->precision();
    const bool fp8 = compute() == Compute::fp8;
    pass.blocks.clear();
    for (std::int64_t begin = 0; begin < dy.rows; begin += rows.rows)
      append_row_blocks(begin, rows.rows, pass.blocks);
    const Vector<const RowBlock> blocks = upload_blocks(pass.blocks, scratch_);
    const MixedOperand left = channel_operand(pass.exec, precision, compute(), Operand::gradient,
                                              dy, blocks, scratch_, scratch_.left);
    const MixedOperand right =
        x.coded() ? channel_operand(pass.exec, precision, x.codes, in(), blocks, scratch_.right)
                  : channel_operand(pass.exec, precision, compute(), Operand::value, x.values,
                                    blocks, scratch_, scratch_.right);
    const std::int64_t blocks_of_sequence = scale_blocks(rows.rows);
    pass.mixed_tasks.clear();
    for (const LaneSegment& segment : rows.batch->segments()) {
      const Matrix<float> dw = pass.parameters->gradient(weight_, segment.lane);
      MixedGemmTask task = {
          .a = left, .b = right, .c = dw.data, .ldc = dw.stride, .m = out(), .n = in()};
      if (fp8) {
        const std::int64_t first = segment.first * blocks_of_sequence;
        task.blocks = blocks.slice(first, segment.sequences * blocks_of_sequence);
        task.a.scales += first * task.a.scale_stride;
        task.b.scales += first * task.b.scale_stride;
      } else {
        task.a = rows_from(left, segment.first * rows.rows);
        task.b = rows_from(right, segment.first * rows.rows);
        task.k = segment.sequences * rows.rows;
      }
      pass.mixed_tasks.push_back(task);
    }
    mixed_gemm(pass.exec, GemmForm::tn, pass.mixed_tasks,
               fp8 ? precision.accumulation() : Accumulation::exact);
  }
}

template <class Real>
void Norm<Real>::forward(Pass<Real>& pass, Matrix<const Real> x, Matrix<Real> y,
                         Vector<Real> r) const {
  rmsnorm_forward(pass.exec, x, pass.parameters->vector(gain_), eps_, y, r);
}

template <class Real>
void Norm<Real>::recompute(Pass<Real>& pass, Matrix<const Real> x, Vector<const Real> r,
                           Matrix<Real> y) const {
  rmsnorm_recompute(pass.exec, x, pass.parameters->vector(gain_), r, y);
}

template <class Real>
Input<Real> Norm<Real>::codes(Pass<Real>& pass, Matrix<const Real> x, Vector<Real> r,
                              const CodeRoom& room) const {
  if constexpr (std::is_same_v<Real, float>) {
    rmsnorm_quantize_tokens(pass.exec, x, pass.parameters->vector(gain_), eps_, room.rule, {}, r,
                            room.codes);
  }
  return Input<Real>(room);
}

template <class Real>
Input<Real> Norm<Real>::forward(Pass<Real>& pass, Matrix<const Real> x, Matrix<Real> y,
                                Vector<Real> r, const CodeRoom& room) const {
  if (room) return codes(pass, x, r, room);
  forward(pass, x, y, r);
  return y;
}

template <class Real>
Input<Real> Norm<Real>::recompute(Pass<Real>& pass, Matrix<const Real> x, Vector<Real> r,
                                  Matrix<Real> y, const CodeRoom& room) const {
  if (room) return codes(pass, x, r, room);
  recompute(pass, x, r, y);
  return y;
}

template <class Real>
void Norm<Real>::backward(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                          Matrix<const Real> x, Vector<const Real> r, Matrix<Real> dx) const {
  for (const LaneSegment& segment : rows.batch->segments()) {
    const std::int64_t first = segment.first * rows.rows;
    const std::int64_t count = segment.sequences * rows.rows;
    rmsnorm_backward_weight(pass.exec, dy.row_range(first, count), x.row_range(first, count),
                            r.slice(first, count),
                            pass.parameters->gradient_vector(gain_, segment.lane));
  }
  rmsnorm_backward_input(pass.exec, dy, x, pass.parameters->vector(gain_), r, dx);
}

template class Linear<float>;
template class Linear<double>;
template class Norm<float>;
template class Norm<double>;

}  // namespace moray
