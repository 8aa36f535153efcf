#pragma once

#include "core/matrix.hpp"

namespace moray {

/// out = a + b. out may be a or b.
template <class Real>
void add(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b, Matrix<Real> out);

/// out = a + (b + c). out may be any of them.
template <class Real>
void add_sum(const ExecSpace& exec, Matrix<const Real> a, Matrix<const Real> b,
             Matrix<const Real> c, Matrix<Real> out);

/// out = a; for strided matrices.
template <class Real>
void copy(const ExecSpace& exec, Matrix<const Real> a, Matrix<Real> out);

/// x = x factor.
template <class Real>
void scale(const ExecSpace& exec, Real factor, Matrix<Real> x);

/// x = 0 everywhere.
template <class Real>
void zero(const ExecSpace& exec, Matrix<Real> x);

}  // namespace moray
