#include "kernels/host/host_rows.hpp"
#include "kernels/quantize/decoded_halves.hpp"
#include "kernels/swiglu/swiglu_variants.hpp"

namespace moray::host {

void swiglu_forward(const ExecSpace& exec, const HostSwiglu& kernels, Matrix<const float> gu,
                    Vector<const float> w, Matrix<float> act) {
  static const std::string label = "moray::swiglu::forward_host";
  const std::int64_t width = act.cols;
  host_rows(label, exec, act.rows, [=](std::int64_t t) {
    const float* weight = w.size == 0 ? nullptr : &w[t];
    kernels.forward(width, gu.row(t), gu.row(t) + width, weight, act.row(t));
  });
}

void swiglu_backward(const ExecSpace& exec, const HostSwiglu& kernels, Matrix<const float> dh,
                     Matrix<const float> gu, Vector<const float> w, Matrix<float> dgu,
                     Vector<float> dw) {
  static const std::string label = "moray::swiglu::backward_host";
  const std::int64_t width = dh.cols;
  host_rows(label, exec, dh.rows, [=](std::int64_t t) {
    const bool weighted = w.size != 0;
    kernels.backward(width, dh.row(t), gu.row(t), gu.row(t) + width, weighted ? &w[t] : nullptr,
                     dgu.row(t), dgu.row(t) + width, weighted ? &dw[t] : nullptr);
  });
}

void swiglu_forward(const ExecSpace& exec, const HostKernels& kernels, const Quantized& codes,
                    Matrix<float> gu, Vector<const float> w, Matrix<float> act) {
  static const std::string label = "moray::swiglu::forward_of_codes_host";
  const HostSwiglu& swiglu = *kernels.swiglu;
  const HostQuantize& quantize = *kernels.quantize;
  host_rows(label, exec, act.rows, [=](std::int64_t t) {
    const float* weight = w.size == 0 ? nullptr : &w[t];
    for_decoded_halves(quantize, codes, t, gu.row(t), act.cols,
                       [&](std::int64_t j, std::int64_t count, const float* g, const float* u) {
                         swiglu.forward(count, g, u, weight, act.row(t) + j);
                       });
  });
}

void swiglu_backward(const ExecSpace& exec, const HostKernels& kernels, Matrix<const float> dh,
                     const Quantized& codes, Vector<const float> w, Matrix<float> dgu,
                     Vector<float> dw) {
  static const std::string label = "moray::swiglu::backward_of_codes_host";
  const std::int64_t width = dh.cols;
  const HostSwiglu& swiglu = *kernels.swiglu;
  const auto decode = kernels.quantize->decode_tokens;
  host_rows(label, exec, dh.rows, [=](std::int64_t t) {
    const bool weighted = w.size != 0;
    float* row = dgu.row(t);
    decode(codes.type, 2 * width, codes.codes.row(t), codes.scales.row(t), row);
    swiglu.backward(width, dh.row(t), row, row + width, weighted ? &w[t] : nullptr, row,
                    row + width, weighted ? &dw[t] : nullptr);
  });
}

}  // namespace moray::host
