#pragma once

/// The implementations behind swiglu.hpp, with its contract: one namespace a variant.

#include "kernels/host/host_kernels.hpp"
#include "kernels/swiglu/swiglu.hpp"
#include "kernels/swiglu/swiglu_host.hpp"

namespace moray::portable {

template <class Real>
void swiglu_forward(const ExecSpace& exec, Matrix<const Real> gu, Vector<const Real> w,
                    Matrix<Real> act);

template <class Real>
void swiglu_backward(const ExecSpace& exec, Matrix<const Real> dh, Matrix<const Real> gu,
                     Vector<const Real> w, Matrix<Real> dgu, Vector<Real> dw);

}  // namespace moray::portable

/// The micro-kernels of one instruction set, spread over the threads of the host backend.
namespace moray::host {

void swiglu_forward(const ExecSpace& exec, const HostSwiglu& kernels, Matrix<const float> gu,
                    Vector<const float> w, Matrix<float> act);
void swiglu_backward(const ExecSpace& exec, const HostSwiglu& kernels, Matrix<const float> dh,
                     Matrix<const float> gu, Vector<const float> w, Matrix<float> dgu,
                     Vector<float> dw);

void swiglu_forward(const ExecSpace& exec, const HostKernels& kernels, const Quantized& codes,
                    Matrix<float> gu, Vector<const float> w, Matrix<float> act);
void swiglu_backward(const ExecSpace& exec, const HostKernels& kernels, Matrix<const float> dh,
                     const Quantized& codes, Vector<const float> w, Matrix<float> dgu,
                     Vector<float> dw);

}  // namespace moray::host
