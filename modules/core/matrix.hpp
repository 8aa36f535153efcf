#pragma once

#include <cstdint>
#include <type_traits>

#include "core/kokkos.hpp"

namespace moray {

/// A non-owning row of `size` elements of T in the memory space of the backend.
///
/// Buffers are owned by the Arena as labelled Kokkos allocations; kernels and modules pass these
/// plain references instead of unmanaged Views, since most tensors of a layer are column ranges of
/// a fused product (gate|up, q_a|kv_a) and need a row stride that LayoutRight has not, and since
/// a plain struct crosses into CUDA files and host micro-kernels as it is.
template <class T>
struct Vector {
  T* data = nullptr;
  std::int64_t size = 0;

  KOKKOS_FUNCTION T& operator[](std::int64_t i) const { return data[i]; }
  KOKKOS_FUNCTION Vector slice(std::int64_t begin, std::int64_t count) const {
    return {data + begin, count};
  }
  KOKKOS_FUNCTION operator Vector<const T>() const requires(!std::is_const_v<T>) {
    return {data, size};
  }
};

/// A non-owning matrix (rows, cols), row i at data + i * stride.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  KOKKOS_FUNCTION T& operator()(std::int64_t i, std::int64_t j) const {
    return data[i * stride + j];
  }
  KOKKOS_FUNCTION T* row(std::int64_t i) const { return data + i * stride; }
  KOKKOS_FUNCTION Matrix row_range(std::int64_t begin, std::int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
  KOKKOS_FUNCTION Matrix column_range(std::int64_t begin, std::int64_t count) const {
    return {data + begin, rows, count, stride};
  }
  KOKKOS_FUNCTION operator Matrix<const T>() const requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride};
  }
};

/// A dense (rows, cols) matrix over `data`.
template <class T>
KOKKOS_FUNCTION Matrix<T> matrix(T* data, std::int64_t rows, std::int64_t cols) {
  return {data, rows, cols, cols};
}

}  // namespace moray
