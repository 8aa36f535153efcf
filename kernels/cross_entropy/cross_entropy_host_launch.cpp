#include "kernels/cross_entropy/cross_entropy_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray::host {

void cross_entropy_forward(const ExecSpace& exec, const HostCrossEntropy& kernels,
                           Matrix<const float> logits, Vector<const std::int32_t> targets,
                           Vector<float> m, Vector<float> l, Vector<float> loss) {
  static const std::string label = "moray::cross_entropy::forward_host";
  host_rows(label, exec, logits.rows, [=](std::int64_t t) {
    loss[t] = kernels.forward(logits.cols, logits.row(t), targets[t], &m[t], &l[t]);
  });
}

void cross_entropy_backward(const ExecSpace& exec, const HostCrossEntropy& kernels,
                            Matrix<const float> logits, Vector<const std::int32_t> targets,
                            Vector<const float> m, Vector<const float> l, float lambda,
                            Matrix<float> dlogit) {
  static const std::string label = "moray::cross_entropy::backward_host";
  host_rows(label, exec, logits.rows, [=](std::int64_t t) {
    kernels.backward(logits.cols, logits.row(t), targets[t], m[t], l[t], lambda, dlogit.row(t));
  });
}

}  // namespace moray::host
