#include "kernels/host/host_rows.hpp"
#include "kernels/rmsnorm/rmsnorm_variants.hpp"

namespace moray::host {

void rmsnorm_forward(const ExecSpace& exec, const HostRmsnorm& kernels, Matrix<const float> x,
                     Vector<const float> gamma, float eps, Matrix<float> y, Vector<float> r) {
  static const std::string label = "moray::rmsnorm::forward_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    r[t] = kernels.forward(x.cols, x.row(t), gamma.data, eps, y.row(t));
  });
}

void rmsnorm_recompute(const ExecSpace& exec, const HostRmsnorm& kernels, Matrix<const float> x,
                       Vector<const float> gamma, Vector<const float> r, Matrix<float> y) {
  static const std::string label = "moray::rmsnorm::recompute_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    kernels.recompute(x.cols, x.row(t), gamma.data, r[t], y.row(t));
  });
}

void rmsnorm_backward_input(const ExecSpace& exec, const HostRmsnorm& kernels,
                            Matrix<const float> dy, Matrix<const float> x,
                            Vector<const float> gamma, Vector<const float> r, Matrix<float> dx) {
  static const std::string label = "moray::rmsnorm::backward_input_host";
  host_rows(label, exec, x.rows, [=](std::int64_t t) {
    kernels.backward_input(x.cols, dy.row(t), x.row(t), gamma.data, r[t], dx.row(t));
  });
}

void rmsnorm_backward_weight(const ExecSpace& exec, const HostRmsnorm& kernels,
                             Matrix<const float> dy, Matrix<const float> x, Vector<const float> r,
                             Vector<float> dgamma) {
  static const std::string label = "moray::rmsnorm::backward_weight_host";
  host_pieces(label, exec, x.cols, kHostRmsnormColumns, [=](std::int64_t j, std::int64_t count) {
    kernels.backward_weight(x.rows, count, dy.data + j, dy.stride, x.data + j, x.stride, r.data,
                            dgamma.data + j);
  });
}

}  // namespace moray::host
