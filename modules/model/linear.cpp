#include "model/linear.hpp"

#include "kernels/rmsnorm/rmsnorm.hpp"

namespace moray {

template <class Real>
void Linear<Real>::forward(Pass<Real>& pass, Matrix<const Real> x, Matrix<Real> y) const {
  gemm(pass.exec, GemmForm::nt, x, pass.parameters->weight(weight_), y);
}

template <class Real>
void Linear<Real>::backward_input(Pass<Real>& pass, Matrix<const Real> dy, Matrix<Real> dx) const {
  gemm(pass.exec, GemmForm::nn, dy, pass.parameters->weight(weight_), dx);
}

template <class Real>
void Linear<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                                   Matrix<const Real> x) const {
  pass.tasks.clear();
  for (const LaneSegment& segment : rows.batch->segments()) {
    const std::int64_t first = segment.first * rows.rows;
    const Matrix<Real> dw = pass.parameters->gradient(weight_, segment.lane);
    pass.tasks.push_back({.a = dy.row(first),
                          .lda = dy.stride,
                          .b = x.row(first),
                          .ldb = x.stride,
                          .c = dw.data,
                          .ldc = dw.stride,
                          .m = out(),
                          .n = in(),
                          .k = segment.sequences * rows.rows});
  }
  gemm<Real>(pass.exec, GemmForm::tn, pass.tasks);
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
