#pragma once

/// The implementations behind elementwise.hpp, with its contract: one namespace a variant.

#include "kernels/elementwise/elementwise.hpp"

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
