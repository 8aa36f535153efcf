#include "kernels/host/host_rows.hpp"
#include "kernels/quantize/quantize_host.hpp"
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
  // Where a half of a row starts with a block, pieces of it are decoded to where they stay in the
  // first-level cache; else whole rows are.
  constexpr std::int64_t kPiece = 8 * kScaleBlock;
  const std::int64_t width = act.cols;
  const bool aligned = width % kScaleBlock == 0;
  const HostSwiglu& swiglu = *kernels.swiglu;
  const auto decode = kernels.quantize->decode_tokens;
  host_rows(label, exec, act.rows, [=](std::int64_t t) {
    const float* weight = w.size == 0 ? nullptr : &w[t];
    const std::uint8_t* row = codes.codes.row(t);
    const float* scales = codes.scales.row(t);
    if (!aligned) {
      decode(codes.type, 2 * width, row, scales, gu.row(t));
      return swiglu.forward(width, gu.row(t), gu.row(t) + width, weight, act.row(t));
    }
    alignas(64) float g[kPiece], u[kPiece];
    const auto load = [=](std::int64_t j, std::int64_t count, float* to) {
      decode(codes.type, count, row + code_bytes(codes.type, j), scales + j / kScaleBlock, to);
    };
    for (std::int64_t j = 0; j < width; j += kPiece) {
      const std::int64_t count = width - j < kPiece ? width - j : kPiece;
      load(j, count, g);
      load(width + j, count, u);
      swiglu.forward(count, g, u, weight, act.row(t) + j);
    }
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
