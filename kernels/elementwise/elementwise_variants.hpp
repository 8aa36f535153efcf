#pragma once

/// The implementations behind elementwise.hpp, with its contract: one namespace a variant.

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/elementwise/elementwise_host.hpp"

namespace moray::portable {

template <class Real>
void add(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b, Matrix<Real> out);

template <class Real>
void add_sum(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b,
             Matrix<const Real> c, Matrix<Real> out);

template <class Real>
void copy(const ExecSpace& exec, Matrix<const Real> a, Matrix<Real> out);

template <class Real>
void scale(const ExecSpace& exec, Real factor, Matrix<Real> x);

template <class Real>
void zero(const ExecSpace& exec, Matrix<Real> x);

}  // namespace moray::portable

/// The micro-kernels of one instruction set, spread over the threads of the host backend.
namespace moray::host {

void add(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
         Matrix<const float> b, Matrix<float> out);
void add_sum(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
             Matrix<const float> b, Matrix<const float> c, Matrix<float> out);
void copy(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
          Matrix<float> out);
void scale(const ExecSpace& exec, const HostElementwise& kernels, float factor, Matrix<float> x);
void zero(const ExecSpace& exec, const HostElementwise& kernels, Matrix<float> x);

}  // namespace moray::host
